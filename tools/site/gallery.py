"""Draws the gallery: a picture of every device, preset and material, and the page that shows them.

`python tools/site/gallery.py` (five minutes) writes docs/gallery/*.webp; `--page` writes docs/gallery.md alone. Pillow
is needed; it comes with matplotlib.
"""

import argparse
import io
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import physics, random
from analogjax.physics import devices
from analogjax.report import plot_device
from analogjax.tile import presets

DOCS = Path(__file__).parents[2] / "docs"
WIDTH, QUALITY = 640, 40
TIMES = (1.0, 3600.0, 86400.0, 2.6e6, 3.15e7)  # [s]

DEVICES = {name: getattr(devices, name)() for name in devices.__all__ if name not in ("FloatingPoint", "Ideal")}
DEVICES["PiecewiseStep"] = physics.PiecewiseStep(piecewise_up=(1.5, 1.0, 0.6), piecewise_down=(0.6, 1.0, 1.5))
PRESETS = {name: presets.preset(name) for name in presets.PRESETS}
MATERIALS = {
    "PCMLike": physics.PCMLike(),
    "Hermes": physics.Hermes(),
    "DriftTable": physics.PCMLike(
        exponents=physics.DriftTable(g=(0.0, 25.0), nu_mean=(0.08, 0.03), nu_std=(0.03, 0.01))
    ),
    "ReRAMWan2022": physics.ReRAMWan2022(),
    "ReRAMCMO": physics.ReRAMCMO(),
    "StateIndependent": physics.StateIndependent(),
    "WriteVerify": physics.WriteVerify(material=physics.PCMLike(), tolerance=0.5),
}
GROUPS = (  # of presets: title, what the names start with, text
    ("Tiki-Taka", "TikiTaka", "`physics.tiki_taka` on two equal arrays (doi:10.3389/fnins.2020.00103)."),
    ("Tiki-Taka version 2", "TTv2", "A transfer through a digital buffer (doi:10.3389/frai.2021.699148)."),
    ("Chopped Tiki-Taka", "ChoppedTTv2", "Version 2 with signs that flip (doi:10.1038/s41467-024-51221-z)."),
    ("AGAD", "AGAD", "Chopped, with a measured offset (doi:10.1038/s41467-024-51221-z)."),
    ("Mixed precision", "MixedPrecision", "The gradient is accumulated digitally (doi:10.3389/fnins.2020.00406)."),
    ("Single devices and unit cells", "", "One device at each crosspoint; two or four; or a pair, one for each sign."),
)


def main() -> None:
    """Draw what the command line asks for: all pictures and the page, or the page alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="write the page only")
    parser.add_argument("names", nargs="*", help="draw only these")
    options = parser.parse_args()
    if not options.page:
        (DOCS / "gallery").mkdir(exist_ok=True)
        for name in options.names or [*DEVICES, *PRESETS, *MATERIALS]:
            size = draw(name)
            print(f"{name}: {size} bytes")
    (DOCS / "gallery.md").write_text(page(), encoding="utf-8")


def draw(name: str) -> int:
    """Draw one picture; returns its size in bytes."""
    picture = io.BytesIO()
    if name in DEVICES:
        plot_device(DEVICES[name], picture, title=name, key=random.key(0))
    elif name in PRESETS:
        config = PRESETS[name]
        plot_device(config.device, picture, pulses=config.update, title=name, key=random.key(0))
    else:
        plot_material(MATERIALS[name], picture, name, random.key(0))
    return shrunk(picture, DOCS / "gallery" / f"{name}.webp")


def shrunk(picture: io.BytesIO, path: Path) -> int:
    """Write a PNG as a small WebP; returns its size in bytes."""
    from PIL import Image

    image = Image.open(picture).convert("RGB")
    height = image.height * WIDTH // image.width
    image.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path, quality=QUALITY, method=6)
    return path.stat().st_size


def plot_material(material: Any, picture: io.BytesIO, title: str, key: jax.Array) -> None:
    """What is programmed where a weight was asked for, and how weights drift: 2,000 devices for each of 17 weights."""
    from matplotlib.figure import Figure

    targets, n = np.linspace(-1, 1, 17), 2000
    k_program, k_drift = jax.random.split(key)
    w = jnp.broadcast_to(jnp.asarray(targets, jnp.float32), (n, len(targets)))
    programmed = material.program(w, k_program)
    times = getattr(material, "known_times", None) or TIMES
    keys = jax.random.split(k_drift, len(times))
    later = [np.asarray(material.drift(programmed, float(t), keys[n])) for n, t in enumerate(times)]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for values, color, label in ((np.asarray(programmed.w), "C0", "programmed"), (later[-1], "C3", _span(times[-1]))):
        left.errorbar(targets, values.mean(0), values.std(0), fmt="o", capsize=3, color=color, label=label)
    left.plot([-1, 1], [-1, 1], color="0.6", linestyle=":")
    left.set(xlabel="weight asked for [w]", ylabel="weight held [w]", title="mean and spread over devices")
    left.legend(frameon=False)
    for k, column in enumerate((8, 10, 12, 14, 16)):
        mean, spread = (np.array([getattr(one[:, column], of)() for one in later]) for of in ("mean", "std"))
        right.plot(times, mean, "o-", color=f"C{k}", label=f"w = {targets[column]:g}")
        right.fill_between(times, mean - spread, mean + spread, color=f"C{k}", alpha=0.2, linewidth=0)
    right.set(xscale="log", xlabel="time since programming [s]", ylabel="weight [w]", title="drift, with read noise")
    right.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(picture, dpi=120)


def _span(seconds: float) -> str:
    for name, length in (("year", 3.15e7), ("day", 86400.0), ("hour", 3600.0)):
        if seconds >= length:
            return f"after {seconds / length:.3g} {name}{'s' if seconds >= 1.5 * length else ''}"
    return f"after {seconds:g} s"


def page() -> str:
    """The text of docs/gallery.md."""
    parts = [_INTRODUCTION, "## Devices\n", _grid({name: _first_sentence(device) for name, device in DEVICES.items()})]
    left = list(PRESETS)
    found = []
    for title, start, text in GROUPS:
        mine = [name for name in left if name.startswith(start)]
        left = [name for name in left if name not in mine]
        found.append(f"### {title}\n\n{text}\n\n{_grid(dict.fromkeys(mine, ''))}")
    parts += [_PRESETS, *found[-1:], *found[:-1], _MATERIALS]
    parts.append(
        _grid({name: _TABLE if name == "DriftTable" else _first_sentence(one) for name, one in MATERIALS.items()})
    )
    return "\n".join(parts)


def _first_sentence(value: Any) -> str:
    """The first sentence of its docstring."""
    return " ".join((type(value).__doc__ or "").partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".") + "."


def _code(text: str) -> str:
    """Text between backticks as HTML."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text)


def _grid(texts: dict[str, str]) -> str:
    rows = [
        f'<figure markdown="span">\n[![{name}](gallery/{name}.webp){{ loading=lazy }}](gallery/{name}.webp)\n'
        f"<figcaption><code>{name}</code> {_code(text)}</figcaption>\n</figure>\n"
        for name, text in texts.items()
    ]
    return '<div class="gallery" markdown>\n\n' + "\n".join(rows) + "\n</div>\n"


_INTRODUCTION = """\
# Gallery

Every device, preset and material, drawn by the library (`tools/site/gallery.py`). To draw one yourself, with your own
parameters:

```
analogjax devices plot CapacitorPreset --output capacitor.png
```

```python
from analogjax import random
from analogjax.physics import SoftBounds
from analogjax.report import plot_device

device = SoftBounds(dw_min=0.01, dw_min_dtod=0.5)
plot_device(device, "soft.png", devices=20, key=random.key(0))
```

A device has four panels: the weight under up, then down pulses; the size of one step at each weight; the weight under
alternating pulses; and where these lead, the symmetry point. Thin lines are single devices, thick ones the mean. A
compound has its visible weight, the arrays inside, and its digital memory. The equations are in
[devices](theory/devices.md).
"""
_PRESETS = """\
## Presets

`analogjax.tile.presets.preset(NAME)` is a complete `TileConfig`; `analogjax train --preset NAME` trains with it. The
parameters were measured on real devices, by the papers named in
[`analogjax.physics.presets`](reference/presets.md).
"""
_MATERIALS = """\
## Materials for inference

Left: weights right after programming and at the last time, against those asked for. Right: drift. What is shown is not
compensated.
"""
_TABLE = "PCMLike whose exponents come from a table; here g = 0 and 25 uS, mean 0.08 and 0.03, spread 0.03 and 0.01."


if __name__ == "__main__":
    main()
