// The API's description, drawn from /openapi.json: works where no other host can be reached.
import { el } from "./dom.js";

const main = document.getElementById("main");
const spec = await (await fetch("openapi.json")).json();
const named = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(named).join(" | ");
  if (schema.type === "array") return `${named(schema.items)}[]`;
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  return schema.const !== undefined ? JSON.stringify(schema.const) : schema.type ?? "any";
};
const body = (content) => Object.entries(content ?? {}).map(([kind, one]) => `${named(one.schema)} (${kind})`).join(", ");

function operation(path, method, one) {
  const parameters = (one.parameters ?? []).filter((p) => p.in !== "cookie").map((p) =>
    el("tr", {}, el("td", {}, el("code", {}, p.name)), el("td", {}, `${p.in}${p.required ? "" : ", optional"}`), el("td", {}, named(p.schema)), el("td", {}, p.description ?? "")));
  const answers = Object.entries(one.responses).map(([code, answer]) =>
    el("tr", {}, el("td", {}, code), el("td", {}, answer.description), el("td", {}, body(answer.content))));
  return el("details", {}, el("summary", {}, el("code", {}, `${method.toUpperCase()} ${path}`), ` ${one.description ?? ""}`),
    parameters.length ? el("table", {}, el("tbody", {}, parameters)) : null,
    one.requestBody ? el("p", {}, "Takes ", body(one.requestBody.content)) : null,
    el("table", {}, el("tbody", {}, answers)));
}
const groups = new Map();
for (const [path, methods] of Object.entries(spec.paths)) {
  for (const [method, one] of Object.entries(methods)) {
    const tag = one.tags?.[0] ?? "other";
    groups.set(tag, [...(groups.get(tag) ?? []), operation(path, method, one)]);
  }
}
const schemas = Object.entries(spec.components.schemas).map(([name, schema]) => el("details", {}, el("summary", {}, el("code", {}, name)),
  el("p", {}, schema.description ?? ""),
  el("dl", {}, Object.entries(schema.properties ?? {}).flatMap(([key, one]) => [el("dt", {}, el("code", {}, key)), el("dd", {}, `${named(one)} ${one.description ?? ""}`)]))));
main.append(el("h1", {}, `${spec.info.title} ${spec.info.version}`), el("p", {}, spec.info.description),
  el("p", {}, "Send ", el("code", {}, "Authorization: Bearer TOKEN"), ". The description for programs: ", el("a", { href: "openapi.json" }, "openapi.json")),
  ...[...groups].flatMap(([tag, list]) => [el("h2", {}, tag), ...list]), el("h2", {}, "Messages"), ...schemas);
