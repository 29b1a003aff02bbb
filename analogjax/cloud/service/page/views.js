// The views. Each has open() -> nodes, refresh() -> whether something changed, live() -> whether it may still change.
import { histogram, lines } from "./charts.js";
import { el, percent, short, status, time } from "./dom.js";
import { cancel, fileUrl, json, text } from "./service.js";

const ENDED = ["completed", "failed", "cancelled"];
const said = (message) => { document.getElementById("live").textContent = message; };
const METRIC = (epochs, name) => epochs.map((e) => [e.epoch, e[name]]);

export function listView() {
  let rows = [], chosen = new Set(), body, compare, older, more = false;

  function row(one) {
    const box = el("input", {
      type: "checkbox", "aria-label": `Choose ${one.name} to compare`, checked: chosen.has(one.id),
      onchange: (event) => { event.target.checked ? chosen.add(one.id) : chosen.delete(one.id); update(); },
    });
    return el("tr", { "data-id": one.id },
      el("td", {}, box), el("td", { class: "name" }, el("a", { href: `#/experiments/${one.id}` }, one.name)),
      el("td", {}, status(one.status)), el("td", { class: "wide" }, one.dataset ?? "–"),
      el("td", { class: "number" }, `${one.epochs_done} of ${one.epochs_planned}`), el("td", { class: "number" }, percent(one.accuracy)),
      el("td", { class: "wide" }, time(one.created)));
  }
  function update() {
    const two = [...chosen];
    compare.toggleAttribute("disabled", two.length !== 2);
    compare.textContent = two.length === 2 ? "Compare the two" : `Compare (choose two, ${two.length} chosen)`;
  }
  function draw() {
    const focused = document.activeElement?.closest?.("tr[data-id]")?.dataset.id, tag = document.activeElement?.tagName;
    body.replaceChildren(...rows.map(row));
    if (focused) body.querySelector(`tr[data-id="${CSS.escape(focused)}"] ${tag === "A" ? "a" : "input"}`)?.focus();
    older.hidden = !more; update();
  }
  return {
    title: "Experiments",
    async open() {
      rows = await json("/experiments?limit=100"); more = rows.length === 100;
      body = el("tbody", {});
      compare = el("button", { type: "button", disabled: true, onclick: () => { const [a, b] = [...chosen]; location.hash = `#/compare/${a}/${b}`; } });
      older = el("button", { type: "button", onclick: async () => {
        const next = await json(`/experiments?limit=100&before=${rows.at(-1).created}`);
        more = next.length === 100; rows = [...rows, ...next]; draw();
      } }, "Show older ones");
      const head = ["", "Name", "Status", "Dataset", "Epochs", "Accuracy", "Submitted"].map((name, n) =>
        el("th", { scope: "col", class: [null, null, null, "wide", "number", "number", "wide"][n] }, name || el("span", {}, "Choose")));
      const table = el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, head)), body));
      draw();
      const none = el("p", { class: "quiet" }, "No experiments yet. CloudRunner().run(experiment) submits one.");
      return [el("h1", {}, "Experiments"), el("div", { class: "row" }, compare), rows.length ? table : none, older];
    },
    async refresh() {
      const newest = await json("/experiments?limit=100"), known = new Map(newest.map((one) => [one.id, one]));
      const oldOnes = rows.filter((one) => !known.has(one.id) && (newest.length === 0 || one.created < newest.at(-1).created));
      const next = [...newest, ...oldOnes], changed = JSON.stringify(next) !== JSON.stringify(rows), grew = !rows.length && next.length;
      rows = next;
      if (grew) { const nodes = await this.open(); document.getElementById("main").replaceChildren(...nodes); } else if (changed) draw();
      return changed;
    },
    live: () => true,
  };
}

export function curves(runs) {
  const many = runs.length > 1, label = (run, what) => (many ? `${run.label}: ${what}` : what);
  const loss = runs.flatMap((run, n) => [
    { name: label(run, "train loss"), colour: many ? n : 0, points: METRIC(run.epochs, "train_loss") },
    { name: label(run, "validation loss"), colour: many ? n : 1, dashed: many, points: METRIC(run.epochs, "valid_loss") },
  ]);
  const accuracy = runs.map((run, n) => ({ name: label(run, "accuracy"), colour: n, points: METRIC(run.epochs, "accuracy").map(([x, y]) => [x, 100 * y]) }));
  return [lines("Loss", loss, { xlabel: "epoch" }), lines("Accuracy", accuracy, { xlabel: "epoch", note: "[%]" })];
}

// Of an inference: how well it still does, over the time after programming. Time 0 is drawn one decade before 1 s.
function decay(results) {
  const at = (t) => (t > 0 ? Math.log10(t) : -1), points = (name, sign = 0) => results.map((r) => [at(r.t_inference), r[name] + sign * r.std_accuracy]);
  const accuracy = [
    { name: "accuracy", colour: 0, points: points("avg_accuracy") },
    { name: "± one standard deviation", colour: 1, dashed: true, points: points("avg_accuracy", 1) },
    { name: "", colour: 1, dashed: true, points: points("avg_accuracy", -1) },
  ];
  const axis = { xlabel: "log10 of seconds after programming (-1: at once)" };
  return [lines("Accuracy", accuracy, { ...axis, note: "[%]" }), lines("Loss", [{ name: "Loss", colour: 0, points: results.map((r) => [at(r.t_inference), r.avg_loss]) }], axis)];
}

export function experimentView(id) {
  let one, head, plots, table, files, log, tiles, drawnTiles = false;
  const title = () => one?.name ?? "Experiment", inference = () => one.category === "inference";

  function drawHead() {
    const stop = el("button", { type: "button", class: "danger", onclick: async () => {
      if (!confirm(`Cancel “${one.name}”?`)) return;
      Object.assign(one, await cancel(id)); drawHead(); said("Cancelling.");
    } }, "Cancel");
    const done = one.epochs.length, last = one.epochs.at(-1);
    head.replaceChildren(
      el("h1", {}, one.name),
      el("p", { class: "row" }, status(one.status), one.cancelling ? el("span", {}, "cancelling…") : null,
        el("span", {}, `${done} of ${one.epochs_planned} ${inference() ? "chips" : "epochs"}`), last ? el("span", {}, `accuracy ${percent(last.accuracy)}`) : null,
        el("span", { class: "quiet" }, "submitted ", time(one.created)), ENDED.includes(one.status) || one.cancelling ? null : stop),
      ...(one.reason ? [el("p", {}, el("strong", {}, one.reason))] : []));
  }
  function drawEpochs() {
    if (inference()) {
      const results = one.epochs.at(-1)?.inference_results ?? [];
      plots.replaceChildren(...decay(results));
      table.replaceChildren(...results.map((r) => el("tr", {},
        [short(r.t_inference), r.avg_accuracy.toFixed(2), r.std_accuracy.toFixed(2), short(r.avg_loss)].map((v) => el("td", { class: "number" }, v)))));
      return;
    }
    plots.replaceChildren(...curves([{ epochs: one.epochs }]));
    table.replaceChildren(...one.epochs.toReversed().map((e) => el("tr", {},
      [e.epoch, percent(e.accuracy), short(e.train_loss), short(e.valid_loss), short(e.time_epoch)].map((v) => el("td", { class: "number" }, v)))));
  }
  function drawFiles() {
    files.replaceChildren(...one.files.map((name) => el("a", { class: "button", href: fileUrl(id, name), download: "" }, name)));
  }
  async function drawTiles() {
    if (one.status !== "completed" || drawnTiles || inference()) return;
    drawnTiles = true;
    const found = await json(`/experiments/${id}/files/tiles.json`), devices = new Map();
    const shown = found.map((tile) => histogram(`Layer ${tile.layer}: ${tile.type}`, tile.histogram, tile.shape.join(" × ")));
    for (const tile of found) if (tile.response) devices.set(tile.device, tile.response);
    for (const [device, response] of devices) {
      const name = device.replace(/\(.*/s, "");
      shown.push(lines(`Device ${name}`, response.curves.map((curve, n) => ({
        name: `specimen ${n + 1}`, colour: n % 3, points: curve.map((w, k) => [(k + 1) * response.pulses, w]),
      })), { xlabel: "pulses, up then down", note: "weight", whole: false }));
    }
    tiles.replaceChildren(...shown);
  }
  return {
    get title() { return title(); },
    async open() {
      one = await json(`/experiments/${id}`);
      head = el("div", {}); plots = el("div", { class: "plots" }); table = el("tbody", {}); files = el("div", { class: "row" });
      tiles = el("div", { class: "plots" }, el("p", { class: "quiet" }, "Shown when the experiment is completed."));
      log = el("pre", { tabindex: "0", "aria-label": "Log" }, "");
      const d = one.description ?? {}, facts = el("dl", {}, ["dataset", "batch_size", "learning_rate", "loss_function", "epochs", "trained", "inference_repeats", "inference_time", "drift_compensation", "seed", "max_elements"]
        .filter((name) => d[name] !== undefined).flatMap((name) => [el("dt", {}, name), el("dd", {}, String(d[name]))]),
      el("dt", {}, "id"), el("dd", {}, one.id), el("dt", {}, "device"), el("dd", {}, one.device), el("dt", {}, "attempts"), el("dd", {}, one.attempt));
      const layers = el("ol", { start: 0 }, (d.layers ?? []).map(layerLine));
      drawHead(); drawEpochs(); drawFiles();
      const names = inference() ? ["Seconds after programming", "Accuracy [%]", "Standard deviation [%]", "Loss"]
        : ["Epoch", "Accuracy", "Train loss", "Validation loss", "Time [s]"];
      const columns = names.map((name) => el("th", { scope: "col", class: "number" }, name));
      const details = el("details", { ontoggle: async (event) => { if (event.target.open) log.textContent = (await text(`/experiments/${id}/logs`)) || "(nothing yet)"; } },
        el("summary", {}, "Log of the worker"), log);
      drawTiles().catch((error) => tiles.replaceChildren(el("p", {}, error.message)));
      const drawn = inference() ? [] : [el("h2", {}, "Tiles and devices"), tiles];
      const noise = d.noise_model ? el("details", {}, el("summary", {}, `Noise model: ${d.noise_model.class}`), el("pre", {}, JSON.stringify(d.noise_model, null, 2))) : null;
      return [head, plots, el("h2", {}, inference() ? "Results" : "Results and weights"), files, el("h2", {}, "Configuration"), facts, ...(noise ? [noise] : []), el("h3", {}, "Layers"), layers,
        ...drawn, el("h2", {}, inference() ? "Times" : "Epochs"),
        el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, columns)), table)), el("h2", {}, "Log"), details];
    },
    async refresh() {
      const after = one.epochs.at(-1)?.epoch ?? -1, news = await json(`/experiments/${id}/epochs?after=${after}`);
      if (!news.epochs.length && news.status === one.status && news.reason === one.reason) return false;
      const was = one.status;
      one = await json(`/experiments/${id}`);
      drawHead(); drawEpochs(); drawFiles(); await drawTiles();
      if (was !== one.status) said(`The experiment is ${one.status}.`);
      return true;
    },
    live: () => !ENDED.includes(one.status),
  };
}

function layerLine(layer) {
  const { type, config, ...rest } = layer;
  const told = Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ");
  const line = el("li", {}, el("code", {}, `${type}(${told})`));
  if (config?.preset) line.append(` ${config.preset}`);
  else if (config) line.append(el("details", {}, el("summary", {}, "tile"), el("pre", {}, JSON.stringify(config, null, 2))));
  return line;
}

function flat(value, path = "", found = {}) {
  if (value !== null && typeof value === "object") for (const [name, item] of Object.entries(value)) flat(item, path ? `${path}.${name}` : name, found);
  else found[path] = value;
  return found;
}

export function compareView(a, b) {
  let runs = [], plots, rows;
  const letters = ["A", "B"];
  function draw() {
    plots.replaceChildren(...curves(runs.map((run, n) => ({ label: letters[n], epochs: run.epochs }))));
    const facts = runs.map((run) => ({
      status: run.status, "epochs done": run.epochs.length, "last accuracy": percent(run.epochs.at(-1)?.accuracy),
      "best accuracy": percent(run.epochs.length ? Math.max(...run.epochs.map((e) => e.accuracy)) : null),
      "last validation loss": short(run.epochs.at(-1)?.valid_loss), ...flat(run.description),
    }));
    const names = [...new Set(facts.flatMap((one) => Object.keys(one)))];
    const differs = (name) => facts[0][name] !== facts[1][name];
    names.sort((x, y) => differs(y) - differs(x));
    rows.replaceChildren(...names.map((name) => el("tr", { class: differs(name) ? "differs" : null },
      el("th", { scope: "row" }, name), facts.map((one) => el("td", {}, one[name] === undefined ? "–" : String(one[name]))))));
  }
  const load = async () => { runs = await Promise.all([a, b].map((id) => json(`/experiments/${id}`))); };
  return {
    title: "Compare",
    async open() {
      await load();
      plots = el("div", { class: "plots" }); rows = el("tbody", {}); draw();
      const head = runs.map((run, n) => el("th", { scope: "col" }, `${letters[n]}: `, el("a", { href: `#/experiments/${run.id}` }, run.name)));
      return [el("h1", {}, "Compare"), plots, el("h2", {}, "What they are, differences first"),
        el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("td", {}), head)), rows))];
    },
    async refresh() {
      const before = runs.map((run) => `${run.status}${run.epochs.length}`).join();
      await load();
      if (runs.map((run) => `${run.status}${run.epochs.length}`).join() === before) return false;
      draw(); return true;
    },
    live: () => runs.some((run) => !ENDED.includes(run.status)),
  };
}
