// Several experiments beside each other: their curves, and what they are, differences first.
import { curves } from "./curves.js";
import { el, percent, plain, short } from "./dom.js";
import { epochs, experiment } from "./service.js";

const POINTS = 1000, ENDED = ["completed", "failed", "cancelled"];

function flat(value, path = "", found = {}) {
  if (value !== null && typeof value === "object") for (const [name, item] of Object.entries(value)) flat(item, path ? `${path}.${name}` : name, found);
  else found[path] = value;
  return found;
}

export function compareView(ids) {
  let runs = [], plots, rows;
  function facts(run) {
    const last = run.epochs.at(-1);
    const best = run.epochs.reduce((most, one) => Math.max(most, one.accuracy ?? -1), -1);
    return {
      status: run.status, "epochs done": run.epochs_done, "last accuracy": percent(last?.accuracy), "best accuracy": percent(best < 0 ? null : best),
      "last validation loss": short(last?.valid_loss), tags: (run.tags ?? []).join(", "), ...flat(run.description ?? {}),
    };
  }
  function draw() {
    const found = runs.map(facts), names = [...new Set(found.flatMap((one) => Object.keys(one)))];
    const differs = (name) => found.some((one) => one[name] !== found[0][name]);
    names.sort((x, y) => differs(y) - differs(x));
    rows.replaceChildren(...names.map((name) => el("tr", { class: differs(name) ? "differs" : null },
      el("th", { scope: "row" }, name), found.map((one) => el("td", {}, one[name] === undefined ? "–" : plain(one[name]))))));
  }
  const load = async () => {
    runs = await Promise.all(ids.map(async (id) => ({ ...(await experiment(id)), ...(await epochs(id, { points: POINTS })) })));
    runs.forEach((run, n) => { run.label = String.fromCharCode(65 + n); });
  };
  const state = () => runs.map((run) => `${run.status}${run.epochs_done}`).join();
  return {
    title: "Compare",
    async open() {
      await load();
      rows = el("tbody", {}); plots = curves(runs); draw();
      const head = runs.map((run) => el("th", { scope: "col" }, `${run.label}: `, el("a", { href: `#/experiments/${run.id}` }, plain(run.name))));
      return [el("h1", {}, "Compare"), el("div", { class: "plots" }, plots.figures), el("h2", {}, "What they are, differences first"),
        el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "What they are" },
          el("table", {}, el("caption", { class: "unseen" }, "Settings and results of each"), el("thead", {}, el("tr", {}, el("td", {}), head)), rows))];
    },
    async refresh() {
      const before = state(), labelled = runs;
      const fresh = await Promise.all(ids.map((id, n) => (ENDED.includes(labelled[n].status) ? labelled[n] : epochs(id, { points: POINTS }))));
      fresh.forEach((run, n) => { Object.assign(labelled[n], run, { label: labelled[n].label }); });
      if (state() === before) return false;
      plots.update(); draw();
      return true;
    },
    live: () => runs.some((run) => !ENDED.includes(run.status)),
  };
}
