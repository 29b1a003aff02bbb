"""Finding the device of a run by name."""

import jax

from analogjax.errors import ConfigError

_ALIASES = {"cuda": "gpu", "rocm": "gpu"}


def find_device(wanted: jax.Device | str | None) -> jax.Device:
    """Return a JAX device by name: `cpu`, `gpu`, `cuda`, `tpu`, or with a number, `cuda:1`. `None`: JAX's default.

    Raises `ConfigError` with the list of available devices.
    """
    if wanted is None:
        return jax.devices()[0]
    if isinstance(wanted, jax.Device):
        return wanted
    kind, _, number = str(wanted).lower().partition(":")
    try:
        found = jax.devices(_ALIASES.get(kind, kind))
        return found[range(len(found))[int(number or 0)] if number[:1] != "-" else len(found)]
    except (RuntimeError, ValueError, IndexError):
        present = ", ".join(f"{device.platform}:{device.id}" for device in _all_devices())
        raise ConfigError(
            f"device={wanted!r}: not available; this JAX sees {present}. Choose one of these, or install JAX for "
            "the accelerator (https://docs.jax.dev/en/latest/installation.html)."
        ) from None


def default_platform() -> str:
    """Platform of JAX's current default device: `cpu`, `gpu`, `tpu`."""
    with jax.ensure_compile_time_eval():
        (device,) = jax.numpy.zeros(()).devices()
    return device.platform


def _all_devices() -> list[jax.Device]:
    found = []
    for kind in ("cpu", "gpu", "tpu"):
        try:
            found += jax.devices(kind)
        except RuntimeError:
            continue  # that backend is not installed: nothing to list
    return found
