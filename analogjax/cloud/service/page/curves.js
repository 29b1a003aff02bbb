// Epochs of runs as columns for charts.
import { chart } from "./charts.js";

export const column = (epochs, name, factor = 1) => epochs.map((one) => (Number.isFinite(one[name]) ? factor * one[name] : null));

// Several runs on one axis: all their epochs, with gaps where a run has none.
function joined(runs, names, label) {
  const x = [...new Set(runs.flatMap((run) => run.epochs.map((one) => one.epoch + 1)))].sort((a, b) => a - b), place = new Map(x.map((v, n) => [v, n]));
  const series = runs.flatMap((run, n) => names.map(([name, text, factor = 1], k) => {
    const y = new Array(x.length).fill(null);
    for (const one of run.epochs) if (Number.isFinite(one[name])) y[place.get(one.epoch + 1)] = factor * one[name];
    return { name: label(run, text), y, colour: runs.length > 1 ? n : k, dashed: runs.length > 1 && k > 0 };
  }));
  return { x, series };
}

export function curves(runs) {
  const label = (run, what) => (run.label ? `${run.label}: ${what}` : what);
  const loss = () => joined(runs, [["train_loss", "train loss"], ["valid_loss", "validation loss"]], label);
  const accuracy = () => joined(runs, [["accuracy", "accuracy", 100]], label);
  const charts = [
    [chart("Loss", loss(), { xlabel: "epoch", ylabel: "loss", whole: true }), loss],
    [chart("Accuracy", accuracy(), { xlabel: "epoch", ylabel: "accuracy [%]", whole: true }), accuracy],
  ];
  return { figures: charts.map(([one]) => one.figure), update: () => { for (const [one, data] of charts) one.update(data()); } };
}

// Of an inference: how well it still does, over the time after programming. Time 0 is drawn one decade before 1 s.
export function decay(results) {
  const x = results.map((one) => (one.t_inference > 0 ? Math.log10(one.t_inference) : -1));
  const spread = (sign) => results.map((one) => one.avg_accuracy + sign * one.std_accuracy);
  const accuracy = { x, series: [
    { name: "accuracy", y: column(results, "avg_accuracy"), colour: 0 },
    { name: "+ one standard deviation", y: spread(1), colour: 1, dashed: true }, { name: "- one standard deviation", y: spread(-1), colour: 1, dashed: true },
  ] };
  const xlabel = "log10 of seconds after programming (-1: at once)";
  return [chart("Accuracy", accuracy, { xlabel, ylabel: "accuracy [%]", tools: false }),
    chart("Loss", { x, series: [{ name: "loss", y: column(results, "avg_loss") }] }, { xlabel, ylabel: "loss", tools: false })].map((one) => one.figure);
}
