"""`analogjax doctor`: whether this machine is ready, as a list of checks with remedies."""

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from analogjax._processor import processor, program_cache, programs_folder
from analogjax._version import __version__

_BROKEN = {  # releases of jaxlib, and what they do on CPUs
    "0.10.2": "jitted, vmapped matrix-vector products are wrong in silence (jax-ml/jax#39103)",
    "0.11.0": "the process ends, or hangs, in sums over eight axes (jax-ml/jax#39257)",
    "0.11.1": "small writes in a loop take quadratic time (jax-ml/jax#40101)",
}
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_EXTRAS = {
    "plot": "matplotlib", "torch": "torch", "keras": "keras", "s3": "s3fs", "gcs": "gcsfs", "cloud": "fastapi",
    "safetensors": "safetensors", "parquet": "pyarrow", "fit": "lmfit",
}  # fmt: skip


class Finding(NamedTuple):
    """The outcome of a check."""

    level: str
    """`ok`, `note`, or `bad`: something that must be mended."""
    text: str
    """What was found, and what to do."""


def add_doctor_command(commands: Any) -> None:
    """Add `doctor` to the subcommands of the parser."""
    doctor = commands.add_parser(
        "doctor",
        help="check versions, devices, caches, and data sets",
        description="Check whether this machine is ready; the exit code is 1 if something must be mended.",
    )
    doctor.add_argument("--root", metavar="FOLDER", help="folder of the data sets")
    doctor.set_defaults(act=_doctor)


def _doctor(given: argparse.Namespace) -> int:
    bad = False
    for title, check in _checks(given.root):
        print(f"{title}:")
        try:
            findings = list(check())
        except Exception as error:
            findings = [Finding("bad", f"could not be checked ({type(error).__name__}: {error})")]
        for finding in findings:
            bad |= finding.level == "bad"
            print(f"  [{finding.level:^4}] {finding.text}", flush=True)
    print("Something must be mended: see [bad] above." if bad else "Ready.")
    return int(bad)


def _checks(root: str | None) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
    return [
        ("versions", _versions),
        ("devices", _devices),
        ("packages that are optional", _extras),
        ("cache of compiled programs", _cache),
        ("current folder", _folder),
        ("data sets", lambda: _data_sets(root)),
    ]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _versions() -> Iterator[Finding]:
    yield Finding("ok", f"analogjax {__version__}, Python {platform.python_version()} in {sys.prefix}")
    yield Finding("ok", ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    jaxlib = _version("jaxlib")
    if jaxlib in _BROKEN:
        yield Finding("bad", f"jaxlib {jaxlib}: {_BROKEN[jaxlib]}. pip install --upgrade 'jax!={jaxlib}'")
    if os.environ.get("JAX_ENABLE_X64", "").lower() in ("1", "true"):
        yield Finding("note", "JAX_ENABLE_X64 is set: float64 is several times slower, and devices are float32")


def _devices() -> Iterator[Finding]:
    model, flags = processor()
    wide = "with 512-bit vectors" if "avx512f" in flags else "without 512-bit vectors"
    yield Finding("ok", f"{model}, {os.cpu_count()} processors, {wide if flags else 'features unknown'}")
    import jax

    found = jax.devices()
    yield Finding("ok", "JAX computes on " + ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in found))
    if found[0].platform == "cpu" and any(Path(name).exists() for name in ("/dev/nvidia0", "/dev/kfd", "/dev/accel0")):
        yield Finding(
            "note", "an accelerator is here, but this JAX does not see it: pip install 'jax[cuda13]' for CUDA"
        )
    value = jax.jit(lambda x: x @ x.T)(jax.numpy.ones((8, 8)))[0, 0]
    yield Finding("ok", "a compiled product is right") if value == 8 else Finding("bad", f"a product is {value}, not 8")


def _extras() -> Iterator[Finding]:
    missing = [extra for extra, package in _EXTRAS.items() if _version(package) is None]
    there = [f"{package} {_version(package)}" for package in _EXTRAS.values() if _version(package)]
    if there:
        yield Finding("ok", ", ".join(there))
    if missing:
        yield Finding("note", f"not installed, if you need them: pip install 'analogjax[{','.join(missing)}]'")


def _cache() -> Iterator[Finding]:
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(programs_folder()))
    if not folder:
        yield Finding("note", "JAX_COMPILATION_CACHE_DIR is empty: every process compiles everything again")
        return
    place = Path(program_cache(folder))
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) if place.exists() else 0
    yield _written(Path(folder), f"{folder}: {size / 1e6:.0f} MB for this processor and these versions")


def _folder() -> Iterator[Finding]:
    yield _written(Path.cwd(), f"{Path.cwd()} can be written; runs are recorded in {Path('runs')}/")


def _written(folder: Path, text: str) -> Finding:
    """`text`, if a file can be written in the folder, or in the first one above it that exists."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".analogjax-"):
            return Finding("ok", text)
    except OSError as error:
        return Finding(
            "bad", f"{there} can't be written ({error.strerror}): work in another folder, or mend its rights"
        )


def _data_sets(root: str | None) -> Iterator[Finding]:
    from analogjax import data

    for name in ("Digits", "FashionMNIST", "MNIST", "SVHN", "CIFAR10"):
        dataset = data.named(name)
        if dataset.embedded is not None:
            yield Finding("ok", f"{name}: comes with analogjax")
            continue
        found = [dataset.find(root, train=train) for train in (True, False)]
        if all(found):
            yield Finding("ok", f"{name}: {found[0]}")
        else:
            yield Finding("note", f"{name}: not here; it is downloaded when it is first used")
