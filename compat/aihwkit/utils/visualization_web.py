"""Pictures of the preset devices for web pages: `python -m compat -m aihwkit.utils.visualization_web FOLDER`."""

import argparse
import re
from pathlib import Path
from typing import Any

from compat.aihwkit.simulator.presets import compounds, devices
from compat.aihwkit.utils.device_plots import plot_device_compact
from compat.pyplot_package import pyplot

# of lines, in the order in which they are drawn
WEB_COLORS = [
    "#8A3FFC", "#33B1FF", "#007D79", "#FF7EB6", "#FA4D56", "#FFF1F1", "#6FDC8C", "#4589FF", "#D12771", "#D2A106",
    "#08BDBA", "#BAE6FF", "#BA4E00", "#D4BBFF",
]  # fmt: skip
# what is drawn, and the pulses of each half of a cycle
DEVICES: dict[Any, int] = {
    getattr(place, name): n_steps
    for place, name, n_steps in (
        (devices, "ReRamESPresetDevice", 1000),
        (devices, "ReRamSBPresetDevice", 1000),
        (devices, "CapacitorPresetDevice", 400),
        (devices, "EcRamPresetDevice", 1000),
        (devices, "IdealizedPresetDevice", 10000),
        (compounds, "PCMPresetUnitCell", 80),
    )
}
_GRAY = "#262626"


def set_dark_style(axes: Any) -> None:
    """Give axes a dark ground, and the lines that follow the colours of the page."""
    pyplot()  # says what to install
    from cycler import cycler

    axes.set_prop_cycle(cycler(color=WEB_COLORS))
    axes.set_facecolor(_GRAY)


def plot_device_compact_web(device: Any, w_noise: float = 0.0, n_steps: int | None = None, n_traces: int = 3) -> Any:
    """`plot_device_compact` in pyplot's dark style, which stays, with the colours of the page. Returns the figure."""
    pyplot().style.use("dark_background")
    figure = plot_device_compact(device, w_noise, n_steps, n_traces)
    for axes in figure.get_axes():
        for n, line in enumerate(axes.get_lines()):
            line.set_color(WEB_COLORS[n % len(WEB_COLORS)])
    return figure


def save_plots_for_web(path: Path = Path("/tmp"), file_format: str = "svg") -> None:
    """Write two pictures of each of `DEVICES`, such as `capacitor_preset_device.svg` and `...-mini.svg`.

    Args:
        path: The folder.
        file_format: As matplotlib names it.
    """
    for kind, n_steps in DEVICES.items():
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        _save(plot_device_compact_web(kind(), n_steps=n_steps), path.absolute() / f"{name}.{file_format}", file_format)
        small = plot_device_compact_web(kind(), n_traces=1, n_steps=n_steps)
        for axes in small.get_axes():
            _strip(axes)
        _save(small, path.absolute() / f"{name}-mini.{file_format}", file_format)


def _save(figure: Any, path: Path, file_format: str) -> None:
    figure.savefig(path, format=file_format, transparent=True, bbox_inches="tight")
    pyplot().close(figure)


def _strip(axes: Any) -> None:
    """Leave lines alone, thick ones."""
    axes.set(title="", xlabel="", ylabel="")
    axes.get_xaxis().set_visible(False)
    axes.get_yaxis().set_visible(False)
    for spine in axes.spines.values():
        spine.set_linewidth(3)
    for line in axes.get_lines():
        line.set_linewidth(4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the preset devices for web pages.")
    parser.add_argument("destination", type=Path, help="folder of the pictures, made if it is not there")
    args = parser.parse_args()

    destination_path = args.destination
    destination_path.mkdir(exist_ok=True)
    save_plots_for_web(destination_path)
