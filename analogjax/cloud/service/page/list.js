// The list of experiments: searched, filtered, sorted, page by page; some of them are chosen to be compared.
import { el, percent, plain, progress, status, time } from "./dom.js";
import { list } from "./service.js";

const PAGE = 50, MOST = 8;
const STATES = ["draft", "waiting", "running", "completed", "failed", "cancelled"];
const COLUMNS = [["name", "Name"], ["status", "Status"], ["dataset", "Dataset"], ["epochs", "Epochs"], ["accuracy", "Accuracy"], ["created", "Submitted"]];
const NUMBERS = ["epochs", "accuracy"];

export function listView(user) {
  const asked = { search: "", status: "", scope: "mine", sort: "created", order: "desc", offset: 0 }, chosen = new Map();
  let rows = [], total = 0, body, compare, chooser, pages, heads, none, table, typing = 0;

  const given = () => Object.fromEntries(Object.entries({ ...asked, limit: PAGE }).filter(([, value]) => value !== ""));
  const load = async () => { ({ rows, total } = await list(given())); };
  const again = async () => { await load(); draw(); };

  function why(one) {
    if (one.status === "waiting") return one.reason ?? (one.place ? `number ${one.place} in the queue` : "the engine has it");
    return one.status === "failed" || one.status === "cancelled" ? one.reason : null;
  }
  function row(one) {
    const name = plain(one.name), box = el("input", {
      type: "checkbox", "aria-label": `Choose ${name} to compare`, checked: chosen.has(one.id),
      onchange: (event) => { event.target.checked ? chosen.set(one.id, one.name) : chosen.delete(one.id); update(); },
    });
    const reason = why(one), others = one.owner && one.owner !== user.user ? `by ${plain(one.owner)}` : null;
    return el("tr", { "data-id": one.id },
      el("td", {}, box),
      el("td", { class: "name" }, el("a", { href: `#/experiments/${one.id}` }, name), others ? el("span", { class: "quiet" }, ` ${others}`) : null,
        (one.tags ?? []).map((tag) => el("span", { class: "tag" }, plain(tag)))),
      el("td", {}, status(one.status), reason ? el("div", { class: "quiet reason" }, plain(reason)) : null),
      el("td", {}, one.dataset ?? "–"), el("td", { class: "number" }, progress(one.epochs_done, one.epochs_planned, `Epochs of ${name}`)),
      el("td", { class: "number" }, percent(one.accuracy)), el("td", {}, time(one.submitted ?? one.created)));
  }
  function update() {
    const count = chosen.size;
    compare.toggleAttribute("disabled", count < 2 || count > MOST);
    compare.textContent = count < 2 ? "Compare (choose two or more)" : count > MOST ? `Compare (at most ${MOST}, ${count} chosen)` : `Compare the ${count}`;
  }
  function draw() {
    const focused = document.activeElement?.closest?.("tr[data-id]")?.dataset.id, tag = document.activeElement?.tagName;
    body.replaceChildren(...rows.map(row));
    if (focused) body.querySelector(`tr[data-id="${CSS.escape(focused)}"] ${tag === "A" ? "a" : "input"}`)?.focus();
    for (const [name, head] of heads) head.setAttribute("aria-sort", asked.sort === name ? (asked.order === "asc" ? "ascending" : "descending") : "none");
    const first = total ? asked.offset + 1 : 0, last = asked.offset + rows.length;
    pages.replaceChildren(
      el("button", { type: "button", disabled: asked.offset === 0, onclick: () => { asked.offset = Math.max(0, asked.offset - PAGE); return again(); } }, "Newer"),
      el("span", {}, `${first} to ${last} of ${total}`),
      el("button", { type: "button", disabled: last >= total, onclick: () => { asked.offset += PAGE; return again(); } }, "Older"));
    pages.hidden = total <= PAGE; table.hidden = !rows.length; none.hidden = rows.length > 0; chooser.hidden = !rows.length;
    const filtered = asked.search || asked.status || asked.scope !== "mine";
    none.replaceChildren(...(filtered ? ["Nothing fits. ", el("button", { type: "button", class: "small", onclick: clear }, "Show all")] : [
      "No experiments yet. In Python, ", el("code", {}, "CloudRunner().run(experiment)"), " submits one; ", el("a", { href: "api.html" }, "the API"),
      " does so from any program. ", el("code", {}, "pydoc analogjax.cloud"), " and docs/cloud.md say more."]));
    update();
  }
  let search, states, scope;
  async function clear() { Object.assign(asked, { search: "", status: "", scope: "mine", offset: 0 }); search.value = ""; states.value = ""; scope.value = "mine"; await again(); }
  function option(value, text) { return el("option", { value }, text); }
  return {
    title: "Experiments",
    async open() {
      await load();
      body = el("tbody", {}); none = el("p", { class: "quiet" }); pages = el("div", { class: "row" });
      compare = el("button", { type: "button", disabled: true, onclick: () => { location.hash = `#/compare/${[...chosen.keys()].join(",")}`; } });
      chooser = el("div", { class: "row" }, compare);
      search = el("input", { type: "search", id: "search", placeholder: "name, id, tag, note, data set", oninput: () => {
        clearTimeout(typing); typing = setTimeout(() => { asked.search = search.value.trim(); asked.offset = 0; again(); }, 250);
      } });
      states = el("select", { id: "states", onchange: () => { asked.status = states.value; asked.offset = 0; again(); } }, option("", "any"), STATES.map((one) => option(one, one)));
      scope = el("select", { id: "scope", onchange: () => { asked.scope = scope.value; asked.offset = 0; again(); } }, option("mine", "mine"), option("shared", "shared with me"), option("all", "all I may see"));
      heads = COLUMNS.map(([name, text]) => [name, el("th", { scope: "col", class: NUMBERS.includes(name) ? "number" : null },
        el("button", { type: "button", class: "sort", onclick: () => {
          asked.order = asked.sort === name && asked.order === "desc" ? "asc" : "desc"; asked.sort = name; asked.offset = 0; return again();
        } }, text))]);
      table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Experiments" }, el("table", {}, el("caption", { class: "unseen" }, "Experiments"),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, el("span", { class: "unseen" }, "Choose")), heads.map(([, head]) => head))), body));
      draw();
      const filters = el("form", { class: "row filters", role: "search", onsubmit: (event) => event.preventDefault() },
        el("label", { for: "search" }, "Search"), search, el("label", { for: "states" }, "Status"), states, el("label", { for: "scope" }, "Whose"), scope);
      return [el("h1", {}, "Experiments"), filters, chooser, table, none, pages];
    },
    async refresh() {
      const before = JSON.stringify([rows, total]);
      await load();
      if (JSON.stringify([rows, total]) === before) return false;
      draw();
      return true;
    },
    close: () => clearTimeout(typing),
    live: () => true,
  };
}
