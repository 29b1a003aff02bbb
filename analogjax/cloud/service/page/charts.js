// Small charts as SVG: lines and histograms, with axes, a legend, and a text for those who can't see them.
import { el, short, svg } from "./dom.js";

const W = 400, H = 220, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 28;

function ticks(low, high, wanted) {
  const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((n) => n * power >= raw);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return found;
}

function frame(x, y, whole) {
  const px = (v) => LEFT + ((v - x[0]) / (x[1] - x[0])) * (W - LEFT - RIGHT);
  const py = (v) => H - BOTTOM - ((v - y[0]) / (y[1] - y[0])) * (H - TOP - BOTTOM);
  const parts = [];
  for (const v of ticks(y[0], y[1], 4)) {
    parts.push(svg("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: py(v), y2: py(v) }));
    parts.push(svg("text", { x: LEFT - 6, y: py(v) + 4, "text-anchor": "end" }, short(v)));
  }
  for (const v of ticks(x[0], x[1], 6)) {
    if (whole && !Number.isInteger(v)) continue;
    parts.push(svg("text", { x: px(v), y: H - BOTTOM + 16, "text-anchor": "middle" }, short(v)));
  }
  parts.push(svg("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM }));
  return { px, py, parts };
}

function padded(low, high) {
  if (!(high > low)) return [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  return [low - (high - low) * 0.06, high + (high - low) * 0.06];
}

function legend(series) {
  const sample = (one) => svg("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" },
    svg("line", { class: `line s${one.colour}${one.dashed ? " dashed" : ""}`, x1: 0, x2: 24, y1: 4, y2: 4 }));
  return el("ul", { class: "legend" }, series.filter((one) => one.name).map((one) => el("li", {}, sample(one), one.name)));
}

// series: [{name, colour: 0..2, dashed, points: [[x, y], ...]}]
export function lines(title, series, { xlabel = "", whole = true, note = "" } = {}) {
  const clean = series.map((one) => ({ ...one, points: one.points.filter(([, y]) => Number.isFinite(y)) }));
  const all = clean.flatMap((one) => one.points);
  if (all.length === 0) return el("figure", {}, el("figcaption", {}, title), el("p", { class: "quiet" }, "Nothing to draw yet."));
  const xs = all.map((p) => p[0]), ys = all.map((p) => p[1]);
  const x = Math.min(...xs) < Math.max(...xs) ? [Math.min(...xs), Math.max(...xs)] : [xs[0] - 0.5, xs[0] + 0.5];
  const { px, py, parts } = frame(x, padded(Math.min(...ys), Math.max(...ys)), whole);
  for (const one of clean) {
    const d = one.points.map(([a, b], n) => `${n ? "L" : "M"}${px(a).toFixed(1)} ${py(b).toFixed(1)}`).join("");
    parts.push(svg("path", { class: `line s${one.colour}${one.dashed ? " dashed" : ""}`, d, style: null }));
    if (one.points.length < 30) for (const [a, b] of one.points) parts.push(svg("circle", { class: `s${one.colour}`, cx: px(a), cy: py(b), r: 2.5 }));
  }
  parts.push(svg("text", { x: W - RIGHT, y: H - 2, "text-anchor": "end" }, xlabel));
  const told = clean.filter((one) => one.name && one.points.length).map((one) => `${one.name}: from ${short(one.points[0][1])} to ${short(one.points.at(-1)[1])}`);
  return el("figure", {}, el("figcaption", {}, title, note ? el("span", { class: "quiet" }, ` ${note}`) : null),
    svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}. ${told.join("; ")}` }, parts),
    series.length > 1 || series[0].name !== title ? legend(series) : null);
}

export function histogram(title, { counts, low, high }, note = "") {
  const width = (high - low) / counts.length || 1;
  const { px, py, parts } = frame(padded(low, high), [0, Math.max(...counts) * 1.06 || 1], false);
  counts.forEach((count, n) => parts.push(svg("rect", {
    class: "bar s0", x: px(low + n * width) + 0.5, width: Math.max(1, px(low + width) - px(low) - 1), y: py(count), height: py(0) - py(count),
  })));
  parts.push(svg("text", { x: W - RIGHT, y: H - 2, "text-anchor": "end" }, "weight"));
  const label = `${title}: ${counts.reduce((a, b) => a + b, 0)} weights from ${short(low)} to ${short(high)}`;
  return el("figure", {}, el("figcaption", {}, title, note ? el("span", { class: "quiet" }, ` ${note}`) : null),
    svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label }, parts));
}
