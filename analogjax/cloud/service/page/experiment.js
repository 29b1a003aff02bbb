// One experiment: how it goes, its curves, tiles, files and log, and what its owner may do with it.
import { chart, histogram } from "./charts.js";
import { curves, decay } from "./curves.js";
import { bytes, duration, el, percent, plain, progress, said, short, status, time, told } from "./dom.js";
import { cancel, change, epochs, experiment, file, fileUrl, log as readLog, remove, rerun } from "./service.js";

const ENDED = ["completed", "failed", "cancelled"], POINTS = 2000, ROWS = 100;
const FACTS = ["dataset", "batch_size", "learning_rate", "loss_function", "epochs", "trained", "inference_repeats", "inference_time", "drift_compensation", "seed", "max_elements"];
const refreshSoon = () => dispatchEvent(new Event("analogjax:refresh"));

export function experimentView(id, user) {
  let one, points = [], last = -1, rows = [], plots, head, files, facts, table, older, logText, logAt = {}, logOpen = false, tiles, drawnTiles = false;
  const inference = () => one.category === "inference", mine = () => one.owner === user.user;

  const act = (text, question, call, after, kind = "") => el("button", { type: "button", class: kind, onclick: async (event) => {
    if (question && !confirm(question)) return;
    event.target.disabled = true;
    try { await call(); told(""); after(); } catch (error) { told(error); event.target.disabled = false; }
  } }, text);
  function actions() {
    if (!mine()) return el("span", { class: "quiet" }, `shared by ${plain(one.owner)}: it can be read`);
    const name = plain(one.name);
    if (!ENDED.includes(one.status)) {
      return one.cancelling ? el("span", {}, "cancelling…") : act("Cancel", `Cancel “${name}”?`, () => cancel(id), () => { said("Cancelling."); refreshSoon(); }, "danger");
    }
    return [one.status === "completed" ? null : act("Run again", null, () => rerun(id), () => { said("It is queued again, and goes on from its last checkpoint."); refreshSoon(); }),
      act("Delete", `Delete “${name}” with all its files? This can't be undone.`, () => remove(id), () => { location.hash = "#/"; said("Deleted."); }, "danger")];
  }
  function drawHead() {
    const what = inference() ? "chips" : "epochs";
    document.title = `${plain(one.name)} – analogjax`;
    head.replaceChildren(
      el("h1", {}, plain(one.name)),
      el("p", { class: "row" }, status(one.status), progress(one.epochs_done, one.epochs_planned, `How far it is, in ${what}`), what,
        one.accuracy === null ? null : el("span", {}, `accuracy ${percent(one.accuracy)}`), (one.tags ?? []).map((tag) => el("span", { class: "tag" }, plain(tag)))),
      ...(one.reason ? [el("p", { class: one.status === "failed" ? "callout bad" : "callout" }, plain(one.reason))] : []),
      ...(one.notes ? [el("p", { class: "notes" }, plain(one.notes))] : []),
      el("p", { class: "row" }, actions()));
    const times = [["submitted", time(one.submitted ?? one.created)], ["place in the queue", one.status === "waiting" ? one.place ?? "the engine has it" : null], ["started", one.started && time(one.started)],
      ["ended", one.ended && time(one.ended)], ["elapsed", one.elapsed === null ? null : duration(one.elapsed)], ["remaining, about", one.remaining === null ? null : duration(one.remaining)],
      ["attempts", one.attempt], ["device", one.device], ["files", bytes(one.stored)], ["id", one.id]];
    facts.replaceChildren(...times.filter(([, value]) => value !== null && value !== undefined).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
    files.replaceChildren(...(one.files ?? []).map((name) => el("a", { class: "button", href: fileUrl(id, name), download: "" }, name)));
  }
  function drawRows() {
    const cells = inference()
      ? (points.at(-1)?.inference_results ?? []).map((r) => [short(r.t_inference), r.avg_accuracy.toFixed(2), r.std_accuracy.toFixed(2), short(r.avg_loss)])
      : rows.map((e) => [e.epoch + 1, percent(e.accuracy), short(e.train_loss), short(e.valid_loss), short(e.time_epoch)]);
    table.replaceChildren(...cells.map((row) => el("tr", {}, row.map((value) => el("td", { class: "number" }, value)))));
    older.hidden = inference() || !rows.length || rows.at(-1).epoch <= 0;
  }
  // the newest epochs first, so many as were asked for
  async function loadRows(count) {
    const first = last - count, found = last < 0 ? [] : (await epochs(id, { after: Math.max(-1, first), limit: count })).epochs;
    rows = found.toReversed();
  }
  async function drawTiles() {
    if (one.status !== "completed" || drawnTiles || inference()) return;
    drawnTiles = true;
    const found = await file(id, "tiles.json"), devices = new Map();
    const shown = found.map((tile) => histogram(`Layer ${tile.layer}: ${tile.type}`, tile.histogram, tile.shape.join(" × ")));
    for (const tile of found) if (tile.response) devices.set(tile.device, tile.response);
    for (const [device, response] of devices) {
      const x = response.curves[0].map((_, k) => (k + 1) * response.pulses);
      shown.push(chart(`Device ${device.replace(/\(.*/s, "")}`, { x, series: response.curves.map((y, n) => ({ name: `specimen ${n + 1}`, y })) }, { xlabel: "pulses, up then down", ylabel: "weight", tools: false }));
    }
    tiles.replaceChildren(...shown.map((chart) => chart.figure));
  }
  async function followLog() {
    if (!logOpen) return;
    const found = await readLog(id, logAt), atEnd = logText.scrollHeight - logText.scrollTop - logText.clientHeight < 40;
    if (found.attempt !== logAt.attempt) logText.textContent = "";
    logText.textContent += found.text;
    if (!logText.textContent && found.ended) logText.textContent = "(nothing)";
    logAt = { attempt: found.attempt, after: found.next };
    if (atEnd) logText.scrollTop = logText.scrollHeight;
  }
  function editor() {
    const name = el("input", { id: "edit-name", type: "text", maxlength: 200, value: one.name }), tags = el("input", { id: "edit-tags", type: "text", value: (one.tags ?? []).join(", ") });
    const notes = el("textarea", { id: "edit-notes", rows: 3, maxlength: 10000 }, one.notes ?? "");
    return el("details", {}, el("summary", {}, "Name, tags and notes"), el("form", { onsubmit: async (event) => {
      event.preventDefault();
      const given = { name: name.value, notes: notes.value, tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) };
      try { Object.assign(one, await change(id, given)); drawHead(); told(""); said("Saved."); } catch (error) { told(error); }
    } }, el("p", {}, el("label", { for: "edit-name" }, "Name"), el("br"), name), el("p", {}, el("label", { for: "edit-tags" }, "Tags, separated by commas"), el("br"), tags),
    el("p", {}, el("label", { for: "edit-notes" }, "Notes"), el("br"), notes), el("button", { type: "submit" }, "Save")));
  }
  return {
    get title() { return one ? plain(one.name) : "Experiment"; },
    async open() {
      const found = await epochs(id, { points: POINTS });
      one = { ...(await experiment(id)), epochs_done: found.epochs_done }; points = found.epochs; last = found.last ?? -1;
      await loadRows(ROWS);
      head = el("div", {}); files = el("div", { class: "row" }); facts = el("dl", {}); table = el("tbody", {});
      older = el("button", { type: "button", onclick: async () => { await loadRows(rows.length + 10 * ROWS); drawRows(); } }, "Show older ones");
      tiles = el("div", { class: "plots" }, el("p", { class: "quiet" }, "Shown when the experiment is completed."));
      logText = el("pre", { tabindex: "0", "aria-label": "Log of the worker" });
      plots = inference() ? { figures: decay(points.at(-1)?.inference_results ?? []), update: null } : curves([{ epochs: points }]);
      const graphs = el("div", { class: "plots" }, plots.figures);
      plots.place = graphs;
      drawHead(); drawRows();
      const d = one.description ?? {}, settings = el("dl", {}, FACTS.filter((name) => d[name] !== undefined).flatMap((name) => [el("dt", {}, name), el("dd", {}, String(d[name]))]));
      const names = inference() ? ["Seconds after programming", "Accuracy [%]", "Standard deviation [%]", "Loss"] : ["Epoch", "Accuracy", "Train loss", "Validation loss", "Time [s]"];
      const log = el("details", { ontoggle: (event) => { logOpen = event.target.open; followLog().catch(told); } }, el("summary", {}, "Log of the worker"), logText);
      drawTiles().catch((error) => tiles.replaceChildren(el("p", {}, error.message)));
      const noise = d.noise_model ? el("details", {}, el("summary", {}, `Noise model: ${d.noise_model.class}`), el("pre", { tabindex: "0" }, JSON.stringify(d.noise_model, null, 2))) : null;
      const note = inference() ? null : el("p", { class: "quiet" }, "The time of the first epoch includes compiling.");
      return [head, graphs, el("h2", {}, "Run"), facts, mine() ? editor() : null, el("h2", {}, inference() ? "Results" : "Results and weights"), files,
        el("h2", {}, "Configuration"), settings, noise, el("h3", {}, "Layers"), el("ol", { start: 0 }, (d.layers ?? []).map(layerLine)),
        ...(inference() ? [] : [el("h2", {}, "Tiles and devices"), tiles]), el("h2", {}, inference() ? "Times" : "Epochs"), note,
        el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": inference() ? "Times" : "Epochs" }, el("table", {}, el("caption", { class: "unseen" }, inference() ? "Accuracy at each time" : "Results of each epoch"),
          el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col", class: "number" }, name)))), table)), older, el("h2", {}, "Log"), log].filter(Boolean);
    },
    async refresh() {
      const news = await epochs(id, { after: last }), was = one.status, before = JSON.stringify([one.status, one.reason, one.place, one.cancelling, one.attempt]);
      const restarted = (news.epochs_done ?? 0) < last + 1; // it goes on from a checkpoint before what is drawn
      const { epochs: fresh, ...rest } = news;
      Object.assign(one, rest);
      if (ENDED.includes(one.status) && was !== one.status) Object.assign(one, await experiment(id));
      if (restarted) {
        const all = await epochs(id, { points: POINTS });
        points.splice(0, points.length, ...all.epochs); last = all.last ?? -1; await loadRows(ROWS);
      } else if (fresh.length) {
        points.push(...fresh); last = news.last ?? last;
        if (points.length > 2 * POINTS) { const all = await epochs(id, { points: POINTS }); points.splice(0, points.length, ...all.epochs); }
        rows = [...fresh.toReversed(), ...rows].slice(0, Math.max(rows.length, ROWS));
      }
      await followLog();
      const changed = fresh.length > 0 || before !== JSON.stringify([one.status, one.reason, one.place, one.cancelling, one.attempt]);
      drawHead();
      if (!changed) return logOpen && !ENDED.includes(one.status);
      if (inference()) { plots.place.replaceChildren(...decay(points.at(-1)?.inference_results ?? [])); } else plots.update();
      drawRows(); await drawTiles();
      if (was !== one.status) said(`The experiment is ${one.status}.`);
      return true;
    },
    live: () => true,
  };
}

function layerLine(layer) {
  const { type, config, ...rest } = layer;
  const told = Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ");
  const line = el("li", {}, el("code", {}, `${type}(${told})`));
  if (config?.preset) line.append(` ${config.preset}`);
  else if (config) line.append(el("details", {}, el("summary", {}, "tile"), el("pre", { tabindex: "0" }, JSON.stringify(config, null, 2))));
  return line;
}
