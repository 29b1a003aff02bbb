"""A run as one HTML file that needs nothing else: curves, what training did to each tile, accuracy over time after
programming, settings, environment, and how to reproduce it.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from analogjax.errors import MissingPackage
from analogjax.report.run_report import commands_again, environment_of, some_of
from analogjax.report.text import duration, flat, percent, shown
from analogjax.store import json_values
from analogjax.store.medium import NotFound
from analogjax.store.runs import Run

_TILES = "tiles.json"
_ROWS = 200  # of the table of epochs
_BLUE, _ORANGE, _GREY = "#2f6db3", "#d9772b", "#8a8f98"
_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1d2430;--soft:#5b6472;--line:#d9dee6;--card:#f6f8fb}
@media(prefers-color-scheme:dark){:root{--back:#14181f;--text:#e6e9ee;--soft:#a3acb9;--line:#333b47;--card:#1c222b}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;background:var(--back);
color:var(--text);font:16px/1.5 system-ui,sans-serif}h1{font-size:1.6rem;margin:.2rem 0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:1.2rem 0 .3rem;
overflow-wrap:anywhere}.soft{color:var(--soft)}.numbers{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}
.numbers div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.5rem .9rem}
.numbers b{display:block;font-size:1.25rem}figure{margin:.6rem 0;background:#fff;border:1px solid var(--line);
border-radius:.5rem;padding:.4rem}figure svg,figure img{display:block;width:100%;height:auto}
.pair{display:grid;gap:.8rem;
grid-template-columns:repeat(auto-fit,minmax(17rem,1fr))}.wide{overflow-x:auto}table{border-collapse:collapse;
font-size:.9rem}th,td{text-align:left;padding:.15rem .9rem .15rem 0;border-bottom:1px solid var(--line);
vertical-align:top}td.n,th.n{text-align:right}pre{background:var(--card);border:1px solid var(--line);padding:.8rem;
border-radius:.5rem;overflow-x:auto;font-size:.85rem}.bad{color:#c0392b}
"""


def html_report(
    run: Run, pulses: Mapping[str, float] | None = None, chips: Any = None, device_picture: bytes | None = None
) -> str:
    """The report of a run.

    Args:
        run: The run, as it was read.
        pulses: Expected pulses per sample and crosspoint of each tile, by path, where they are known.
        chips: What `experiments.evaluate` found for its model, for the plot of accuracy over time.
        device_picture: Pulse responses of its devices as PNG.

    Returns:
        The HTML text, which refers to no other file and no other host.

    Raises:
        MissingPackage: Without matplotlib.
        RunError, StoreError: If a file of the run can't be read.
    """
    parts = [
        _head(run), _curves(run), _tiles(run, pulses or {}), _device(device_picture), _drift(chips), _epochs(run),
        _pairs("Configuration", flat(run.config) | {"seed": run.seed}), _again(run),
        _pairs("Environment", environment_of(run.environment)),
    ]  # fmt: skip
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(run.id)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _head(run: Run) -> str:
    status, last, best = run.status, run.last or {}, run.best or {}
    numbers = {
        "status": run.state,
        "best accuracy": percent(best.get("accuracy")),
        "last accuracy": percent(last.get("accuracy")),
        "training loss": shown(last.get("train_loss")),
        "epochs": f"{len(run.epochs)} of {run.config.get('epochs', '?')}",
        "time in epochs": duration(run.seconds),
    }
    cards = "".join(f"<div><span class=soft>{escape(k)}</span><b>{escape(v)}</b></div>" for k, v in numbers.items())
    error = f"<p class=bad>{escape(str(status['error']))}</p>" if status.get("error") else ""
    resumed = f", went on after a stop {status['resumed']} times" if status["resumed"] else ""
    return (
        f"<h1>{escape(run.id)}</h1><p class=soft>{escape(str(run.config.get('dataset', '')))}, begun "
        f"{escape(status['begun'])}, ended {escape(str(status.get('ended') or '-'))}{resumed}<br>"
        f"{escape(str(run.location))}</p>{error}<div class=numbers>{cards}</div>"
    )


def _curves(run: Run) -> str:
    if not run.epochs:
        return "<h2>Results</h2><p>No epoch has ended.</p>"
    epochs = [entry["epoch"] + 1 for entry in run.epochs]

    def drawing(names: Sequence[str], label: str, scale: float = 1.0) -> str:
        def draw(figure: Any) -> None:
            from matplotlib.ticker import MaxNLocator

            axes = figure.subplots()
            for name, color, mark in zip(names, (_BLUE, _ORANGE), ("o-", "s-"), strict=False):
                found = (entry.get(name) for entry in run.epochs)
                values = [scale * value if isinstance(value, (int, float)) else np.nan for value in found]
                axes.plot(epochs, values, mark, color=color, markersize=3, label=name.replace("_", " "))
            axes.set(xlabel="epoch", ylabel=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            if len(names) > 1:
                axes.legend(frameon=False)

        return _figure(draw, (4.6, 3.0), f"{label} of each epoch")

    pictures = drawing(["train_loss", "valid_loss"], "loss") + drawing(["accuracy"], "test accuracy [%]", 100.0)
    return f"<h2>Results</h2><div class=pair>{pictures}</div>"


def _tiles(run: Run, pulses: Mapping[str, float]) -> str:
    try:
        tiles = json_values.loads(run.location.read(_TILES))
    except NotFound:
        return ""
    rows = [
        [tile["layer"], " x ".join(map(str, tile["shape"])), tile["kind"], percent(tile.get("saturated")),
         shown(pulses.get(tile["layer"]))]
        for tile in tiles
    ]  # fmt: skip
    header = ["layer", "shape", "kind", "devices at an end of their range", "pulses per sample and device"]
    pictures = "".join(_tile(tile) for tile in tiles)
    note = "" if pulses else "<p class=soft>Pulses are shown for runs of <code>analogjax train</code>.</p>"
    return f"<h2>Layers</h2>{_table(header, rows, 3)}{note}{pictures}"


def _tile(tile: Mapping[str, Any]) -> str:
    weights, moved = tile["weights"], tile.get("moved")
    found = [_histogram(weights, "weight", f"Weights of {tile['layer']} after training", _BLUE)]
    if moved is not None:
        found.append(_histogram(moved, "how far training moved it", f"Updates of {tile['layer']}", _ORANGE))
    device = f" <span class=soft>{escape(tile['device'])}</span>" if "device" in tile else ""
    return f"<h3>{escape(tile['layer'])}{device}</h3><div class=pair>{''.join(found)}</div>"


def _histogram(found: Mapping[str, Any], label: str, title: str, color: str) -> str:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        edges = np.linspace(found["low"], found["high"], len(found["counts"]) + 1)
        axes.stairs(found["counts"], edges, fill=True, color=color, alpha=0.85)
        spread = f": mean {found['mean']:.2g}, spread {found['std']:.2g}" if "mean" in found else ""
        axes.set(xlabel=label, ylabel="count")
        axes.set_title(f"{label}{spread}", fontsize=9)

    return _figure(draw, (4.4, 2.6), title)


def _device(picture: bytes | None) -> str:
    if picture is None:
        return ""
    data = base64.b64encode(picture).decode()
    return f'<h2>Devices</h2><figure><img alt="Pulse response" src="data:image/png;base64,{data}"></figure>'


def _drift(chips: Any) -> str:
    if chips is None:
        return ""
    from analogjax.report.chip_results import summary, time_text

    rows = sorted(summary(chips), key=lambda row: row["t_inference"])

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        mean, spread = ([100 * row[name] for row in rows] for name in ("accuracy", "accuracy_std"))
        axes.errorbar([row["t_inference"] for row in rows], mean, spread, fmt="o-", color=_BLUE, capsize=3)
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set(xlabel="time since programming [s]", ylabel="accuracy [%]")
        axes.grid(alpha=0.3)

    cells = [
        [time_text(row["t_inference"]), percent(row["accuracy"]), percent(row["accuracy_std"]),
         percent(row["accuracy_worst"])] for row in rows
    ]  # fmt: skip
    table = _table(["time after programming", "accuracy", "spread", "worst chip"], cells, 1)
    title = f"Accuracy over time of {len(chips.accuracy)} chips"
    return f"<h2>On programmed chips</h2>{_figure(draw, (6.5, 3.2), title)}{table}"


def _epochs(run: Run) -> str:
    if not run.epochs:
        return ""
    names = list(dict.fromkeys(name for entry in run.epochs for name in entry if name != "epoch"))
    chosen, step = some_of(run.epochs, _ROWS)
    rows = [[str(entry["epoch"] + 1), *(shown(entry.get(name)) for name in names)] for entry in chosen]
    note = "" if step == 1 else f"<p class=soft>Every {step}th epoch; all are in metrics.jsonl.</p>"
    return f"<h2>Epochs</h2>{_table(['epoch', *names], rows, 0)}{note}"


def _pairs(title: str, values: Mapping[str, Any]) -> str:
    return f"<h2>{title}</h2>{_table(['name', 'value'], [[name, shown(v)] for name, v in values.items()], 2)}"


def _again(run: Run) -> str:
    return f"<h2>How to reproduce this run</h2><pre>{escape(commands_again(run))}</pre>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], first_number: int) -> str:
    """A table; columns from `first_number` on hold numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = [" class=n" if n >= first_number else "" for n in range(len(cells))]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<div class=wide><table><tr>{line(header, 'th')}</tr>{body}</table></div>"


def _figure(draw: Any, size: tuple[float, float], title: str) -> str:
    """A drawing as SVG within the page."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackage('the HTML report needs matplotlib: pip install "analogjax[plot]"') from None
    figure, out = Figure(figsize=size, layout="constrained"), io.StringIO()
    draw(figure)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return f'<figure role="img" aria-label="{escape(title)}">{_plain_svg(out.getvalue(), title)}</figure>'


def _plain_svg(text: str, title: str) -> str:
    """The drawing without its XML header; ids are made unique, since a page has many drawings."""
    text = text[text.index("<svg") :]
    mark = re.sub(r"\W", "", title)
    return re.sub(r'(id="|href="#|url\(#)', rf"\1{mark}-", text)
