// Charts by uPlot, with what it leaves out: labels and units for all, a choice of scale and smoothing, and the keyboard.
import { el, short } from "./dom.js";

const HEIGHT = 240, drawn = new Set();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const COLOURS = ["--a", "--b", "--c", "--d", "--e", "--f", "--g", "--h"];

// Each chart of a view that is gone is let go, with its observers.
export function forgetCharts() { for (const one of drawn) one.destroy(); drawn.clear(); }
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const one of drawn) one.redraw(); });

// An exponential mean of the values so far; gaps stay gaps.
export function smoothed(values, weight) {
  let mean = null;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    mean = mean === null ? value : weight * mean + (1 - weight) * value;
    return mean;
  });
}

function axis(label, side) {
  return {
    stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, label, labelSize: 22,
    font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", size: side ? 62 : 36,
    values: (_, splits) => splits.map((v) => (v === null ? "" : short(v))),
  };
}

// `data`: {x: [...], series: [{name, y: [...], dashed, colour}]}; `kind`: lines or bars.
export function chart(title, data, { xlabel, ylabel, kind = "lines", tools = true, whole = false } = {}) {
  let plot = null, log = false, weight = 0, now = data;
  const box = el("div", { class: "chart", tabindex: "0", role: "img" }), readout = el("p", { class: "quiet readout", "aria-live": "polite" }, "");
  const caption = el("figcaption", {}, title), figure = el("figure", {}, caption);
  const keys = "Arrow keys read values, + and - zoom, 0 shows all.";

  function series() {
    return now.series.map((one, n) => ({
      label: one.name, stroke: colour(COLOURS[(one.colour ?? n) % COLOURS.length]), width: 2, dash: one.dashed ? [6, 4] : undefined, spanGaps: true,
      points: { show: now.x.length < 40, size: 5 }, value: (_, v) => (v === null || v === undefined ? "–" : short(v)),
      ...(kind === "bars" ? { paths: uPlot.paths.bars({ size: [1, Infinity], gap: 1 }), points: { show: false }, fill: `${colour("--a")}cc`, width: 0 } : {}),
    }));
  }
  const values = () => [now.x, ...now.series.map((one) => (weight ? smoothed(one.y, weight) : one.y)).map((y) => (log ? y.map((v) => (v > 0 ? v : null)) : y))];
  function draw() {
    const range = plot ? [plot.scales.x.min, plot.scales.x.max] : null, width = Math.max(260, box.clientWidth || 400);
    plot?.destroy();
    box.replaceChildren();
    plot = new uPlot({
      width, height: HEIGHT, series: [{ label: xlabel, value: (_, v) => (v === null ? "–" : short(v)) }, ...series()],
      scales: { x: { time: false }, y: { distr: log ? 3 : 1, ...(kind === "bars" ? { range: (_, low, high) => [0, high * 1.06 || 1] } : {}) } },
      axes: [{ ...axis(xlabel, false), incrs: whole ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000] : undefined }, axis(ylabel, true)],
      cursor: { drag: { x: true, y: false }, focus: { prox: 24 } }, legend: { live: true },
    }, values(), box);
    if (range && range[0] > now.x[0] && range[1] <= now.x.at(-1)) plot.setScale("x", { min: range[0], max: range[1] });
    describe();
  }
  function describe() {
    const told = now.series.filter((one) => one.y.length).map((one) => {
      const known = one.y.filter((v) => Number.isFinite(v));
      return known.length ? `${one.name}: from ${short(known[0])} to ${short(known.at(-1))}` : `${one.name}: no values`;
    });
    box.setAttribute("aria-label", `${title}. ${told.join("; ")}. ${keys}`);
  }
  function zoom(factor, shift = 0) {
    const { min, max } = plot.scales.x, middle = (min + max) / 2 + shift * (max - min), half = ((max - min) * factor) / 2;
    plot.setScale("x", { min: Math.max(now.x[0], middle - half), max: Math.min(now.x.at(-1), middle + half) });
  }
  box.addEventListener("keydown", (event) => {
    if (!plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = plot.cursor.idx ?? 0;
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      const next = Math.min(now.x.length - 1, Math.max(0, at + (event.key === "ArrowRight" ? 1 : -1)));
      plot.setCursor({ left: plot.valToPos(now.x[next], "x"), top: 0 });
      readout.textContent = `${xlabel} ${short(now.x[next])}: ${now.series.map((one) => `${one.name} ${short(one.y[next])}`).join(", ")}`;
    } else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") plot.setScale("x", { min: now.x[0], max: now.x.at(-1) });
    else return;
    event.preventDefault();
  });
  const observer = new ResizeObserver(() => { if (plot && box.clientWidth > 0) plot.setSize({ width: Math.max(260, box.clientWidth), height: HEIGHT }); });
  const handle = {
    figure,
    redraw: () => { if (plot) draw(); },
    destroy: () => { observer.disconnect(); plot?.destroy(); plot = null; },
    update(next) {
      const fits = plot && next.series.length === now.series.length && next.series.every((one, n) => one.name === now.series[n].name);
      const zoomed = plot && now.x.length && (plot.scales.x.min > now.x[0] || plot.scales.x.max < now.x.at(-1));
      now = next;
      const empty = !now.x.length;
      nothing.hidden = !empty; box.hidden = empty; bar.hidden = empty || !tools;
      if (empty) return;
      if (!fits) { if (box.isConnected) draw(); else requestAnimationFrame(() => { if (drawn.has(handle)) draw(); }); return; }
      const range = [plot.scales.x.min, plot.scales.x.max];
      plot.setData(values(), !zoomed);
      if (zoomed) plot.setScale("x", { min: range[0], max: range[1] });
      describe();
    },
  };
  const scale = el("label", {}, el("input", { type: "checkbox", onchange: (event) => { log = event.target.checked; draw(); } }), " log scale");
  const smooth = el("label", {}, "smoothing ", el("input", {
    type: "range", min: 0, max: 0.98, step: 0.02, value: 0, "aria-label": `Smoothing of ${title}`, oninput: (event) => { weight = Number(event.target.value); plot.setData(values(), false); },
  }));
  const all = el("button", { type: "button", class: "small", onclick: () => plot.setScale("x", { min: now.x[0], max: now.x.at(-1) }) }, "Show all");
  const bar = el("div", { class: "row tools" }, scale, kind === "lines" ? smooth : null, all), nothing = el("p", { class: "quiet" }, "Nothing to draw yet.");
  figure.append(nothing, box, readout, bar);
  drawn.add(handle); observer.observe(box); handle.update(data);
  return handle;
}

export function histogram(title, { counts, low, high }, note = "") {
  const width = (high - low) / counts.length || 1;
  const data = { x: counts.map((_, n) => low + (n + 0.5) * width), series: [{ name: "count", y: counts }] };
  return chart(note ? `${title}, ${note}` : title, data, { xlabel: "weight", ylabel: "count", kind: "bars", tools: false });
}
