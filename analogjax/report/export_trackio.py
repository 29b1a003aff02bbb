"""A recorded run in a folder of Trackio.

Trackio takes its folder from the environment when it is imported, so a process of its own writes.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from analogjax.errors import ConfigError, MissingPackage
from analogjax.report.export_points import points_of
from analogjax.report.text import flat
from analogjax.store.json_values import strict
from analogjax.store.runs import Run

_PROJECT = "analogjax"
_WRITE = """\
import json, sys
import trackio
given = json.load(sys.stdin)
for old in list(trackio.Api().runs(given["project"])) if given["there"] else []:
    if old.name == given["name"]:
        old.delete()
run = trackio.init(given["project"], name=given["name"], config=given["config"], embed=False, auto_log_gpu=False,
                   auto_log_cpu=False)
for step, metrics in given["points"]:
    trackio.log(metrics, step=step)
trackio.finish()
"""


def export_trackio(run: Run, path: str) -> str:
    """Add the run to the folder `path`; returns the command that shows it.

    A run of the same name that is there already is replaced. Raises `MissingPackage`, and `ConfigError` if the folder
    can't be written.
    """
    if find_spec("trackio") is None:
        raise MissingPackage("export to Trackio needs the package trackio: pip install trackio")
    folder = Path(path).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"export to {path}: can't be written ({error.strerror}); give a writable folder.") from None
    given = {
        "project": _PROJECT, "name": run.id, "there": (folder / f"{_PROJECT}.db").exists(),
        "config": strict(flat(run.config) | {"seed": run.seed, "location": run.location.url}),
        "points": [(step, strict(metrics)) for step, _, metrics in points_of(run)],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _WRITE], input=json.dumps(given), capture_output=True, text=True,
        env=os.environ | {"TRACKIO_DIR": str(folder)},
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise ConfigError(f"export to {path}: Trackio refuses ({last}); give another folder.")
    return f"TRACKIO_DIR={folder} trackio show --project {_PROJECT}"
