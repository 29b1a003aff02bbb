"""`analogjax report`: a recorded run as one HTML file."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError
from analogjax.infer_command import model_of_run
from analogjax.runs_command import add_places, run_location
from analogjax.train_command import recorded_options

_REPORT = """\
Write a recorded run as one HTML file that needs nothing else: curves, weights and updates of each layer, devices at the
ends of their range, expected pulses, pulse responses of the devices, accuracy over time after programming, settings,
environment, and how to reproduce it.

  analogjax report runs/a
  analogjax report runs/a -o a.html --chips 20

RUN is a folder, an s3://... or gs://... URL, or a name in --runs. Pulses, devices and --chips need a run that was
recorded by `analogjax train` or `analogjax sweep`.
"""


def add_report_command(commands: Any) -> None:
    """Add `report` to the subcommands of the parser."""
    report = commands.add_parser(
        "report", help="write a recorded run as one HTML file", description=_REPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    report.add_argument("what", metavar="RUN", help="a recorded run")
    report.add_argument("-o", "--out", metavar="FILE", help="default: report.html in the current folder")
    report.add_argument(
        "--chips", default="0", metavar="N", help="program N chips, for accuracy over time (default: 0, none)"
    )
    add_places(report)
    report.set_defaults(act=_report)


def _report(given: argparse.Namespace) -> int:
    from analogjax.report.html_report import html_report
    from analogjax.store.files import replacing
    from analogjax.store.run_folder import read_run

    out = Path(given.out or "report.html")
    if not given.chips.isdecimal() or int(given.chips) > 10_000:
        raise ConfigError(f"--chips {given.chips}: needs a whole number from 0 to 10000.")
    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(f"-o {out}: can't be written; give a file in a folder that exists.")
    run = read_run(run_location(given.what, given.runs, given.endpoint_url))
    pulses, chips, picture = (None, None, None) if _unknown(run, given) else _computed(run, given)
    try:
        with replacing(out) as draft:
            draft.write_text(html_report(run, pulses, chips, picture), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"-o {out}: can't be written ({error.strerror}); give a writable file.") from None
    print(f"report: {out}")
    return 0


def _unknown(run: Any, given: argparse.Namespace) -> bool:
    """Whether the model of a run can't be made again here. Raises `ConfigError` if that was asked for."""
    try:
        recorded_options(run)
    except ConfigError:
        if int(given.chips):
            raise
        return True
    return not any(entry.name.startswith("model/") for entry in run.files)


def _computed(run: Any, given: argparse.Namespace) -> tuple[Any, Any, bytes | None]:
    """Expected pulses, results on chips, and the picture of the devices."""
    from analogjax import random
    from analogjax.experiments import evaluate
    from analogjax.experiments.feed import Whole
    from analogjax.experiments.loop import Program
    from analogjax.experiments.placement import find_device
    from analogjax.experiments.tile_record import expected_pulses

    experiment, variables = model_of_run(run.location, given.root, given.endpoint_url)
    options = recorded_options(run)
    data = Whole(experiment.dataset, options["max_elements"], given.root, experiment.batch_size, find_device(None),
                 random.key(0))  # fmt: skip
    pulses = expected_pulses(Program.of(experiment), variables, data.example, random.key(run.seed))
    chips = None
    if int(given.chips):
        chips = evaluate(
            experiment.model, variables, experiment.dataset, chips=int(given.chips), dataset_root=given.root,
            max_elements=options["max_elements"],
        )  # fmt: skip
    return pulses, chips, _picture(options)


def _picture(options: Any) -> bytes | None:
    from analogjax.devices_command import made_config

    config = made_config(options)
    device = getattr(config, "device", None)
    if device is None:
        return None
    try:
        from analogjax import random
        from analogjax.report.device_plot import plot_device

        with tempfile.TemporaryDirectory(prefix="analogjax-") as folder:
            picture = Path(folder, "device.png")
            plot_device(device, picture, pulses=config.update, key=random.key(0))
            return picture.read_bytes()
    except ConfigError as error:
        print(f"no picture of the devices: {error}", file=sys.stderr)
        return None
