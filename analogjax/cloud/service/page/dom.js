// Making elements. Text is always set as text: nothing of what a user named can become markup.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(2)) {
    if (child !== null && child !== undefined && child !== false) node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
// a user's names may hold characters that turn text around or that nobody sees: they are shown as what they are
export const plain = (text) => String(text ?? "").replace(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (c) => `\\u${c.codePointAt(0).toString(16)}`);
export const status = (word) => el("span", { class: `status ${word}` }, word);
export const time = (seconds) =>
  seconds === null || seconds === undefined ? "–" : el("time", { datetime: new Date(seconds * 1000).toISOString() }, new Date(seconds * 1000).toLocaleString());
export const short = (value) => (value === null || value === undefined || !Number.isFinite(Number(value)) ? "–" : String(Number(Number(value).toPrecision(4))));
export const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(2)} %`);
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min` : `${(seconds / 86400).toFixed(1)} d`;
}
export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let n = 0;
  for (; count >= 999.5 && n < 4; n += 1) count /= 1000;
  return `${n ? Number(count.toPrecision(3)) : count} ${units[n]}`;
}
export const progress = (done, planned, label) =>
  el("span", { class: "progress" }, el("progress", { value: Math.min(done, planned), max: Math.max(planned, 1), "aria-label": label }), ` ${done} of ${planned}`);
export const said = (message) => { document.getElementById("live").textContent = message; };
export const told = (error) => { document.getElementById("alert").textContent = typeof error === "string" ? error : error.message; };
