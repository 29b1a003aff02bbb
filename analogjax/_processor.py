"""The processor that programs are compiled for: how it is identified, and which options the compiler gets for it."""

import hashlib
import os
import platform
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_WIDE = "xla_cpu_prefer_vector_width"
_CPUINFO = Path("/proc/cpuinfo")


@cache
def processor() -> tuple[str, frozenset[str]]:
    """Model and instruction set flags; no flags if the system does not report them."""
    try:
        lines = _CPUINFO.read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}", frozenset()
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    numbers = " ".join(found.get(name, "") for name in ("cpu family", "model", "stepping"))
    model = f"{platform.machine()} {found.get('model name', '')} {numbers}".strip()
    return model, frozenset(found.get("flags", found.get("Features", "")).split())


def program_cache(folder: str | os.PathLike[str]) -> str:
    """The subfolder of `folder` for programs compiled on this kind of machine.

    It is named by processor, versions of JAX and flags, because machine code of another processor may not run on this
    one.
    """
    model, flags = processor()
    parts = [model, *sorted(flags), version("jax"), version("jaxlib"), os.environ.get("XLA_FLAGS", "")]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return os.path.join(os.path.abspath(folder), f"jax-{version('jax')}-{name}")


def keep_programs(folder: str | os.PathLike[str]) -> None:
    """Store every compiled program in `program_cache(folder)`, and reuse those stored there."""
    quiet_cache()
    import jax

    jax.config.update("jax_compilation_cache_dir", program_cache(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def keep_own_programs() -> None:
    """If `JAX_COMPILATION_CACHE_DIR` names a folder shared by several machines, use the subfolder for this one."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if folder and "://" not in folder:
        _set("jax_compilation_cache_dir", program_cache(folder))


def programs_folder() -> Path:
    """Where compiled programs of this user are kept. Raises `RuntimeError` without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "analogjax", "programs")


def remember_programs() -> None:
    """Keep compiled programs from one process to the next, in the user's cache folder.

    `JAX_COMPILATION_CACHE_DIR` names another folder, or, empty, none. Where the folder can't be made, none are kept. It
    holds at most 1 GiB, if `filelock` is installed, which JAX needs to remove the oldest.
    """
    quiet_cache()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return keep_own_programs()
    try:
        folder = programs_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    _set("jax_compilation_cache_dir", program_cache(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        _set("jax_persistent_cache_min_compile_time_secs", 0.0)
    if find_spec("filelock") is not None and "JAX_COMPILATION_CACHE_MAX_SIZE" not in os.environ:
        _set("jax_compilation_cache_max_size", 2**30)
    return None


def _set(name: str, value: str | float) -> None:
    """An option of JAX in this process, also where JAX is there already, and in those that it starts."""
    os.environ[name.upper()] = str(value)
    if "jax" in sys.modules:
        sys.modules["jax"].config.update(name, value)


def quiet_cache() -> None:
    """Suppress the pages of errors that XLA logs for each program loaded from a cache. Call it before JAX is imported.

    XLA reports processor features as missing that are not real features (`prefer-no-gather`), even in the process that
    compiled the program. They are logged as errors, so all errors have to be silenced; exceptions and fatal messages
    are still shown. A log level set by the user is kept.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def compiler_options(platform_name: str) -> dict[str, str]:
    """The `jax.jit(compiler_options=...)` for large programs on a platform (`cpu`, `gpu`, ...).

    By default, XLA uses 256-bit vectors. Ice Lake, Zen 4 and later processors run 512-bit vectors without lowering
    their clock, unlike earlier processors with AVX-512. A setting in `XLA_FLAGS` takes precedence.
    """
    _, flags = processor()
    if platform_name != "cpu" or not {"avx512f", "avx512vl", "avx512_vbmi2"} <= flags:
        return {}
    if _WIDE in os.environ.get("XLA_FLAGS", "") or not _accepted(_WIDE):
        return {}
    return {_WIDE: "512"}


class Tuned:
    """`jax.jit(function)`, compiled with `compiler_options` when called on its own.

    JAX accepts such options for whole programs only: within another transformation this is the plain function.
    """

    def __init__(self, function: Callable[..., Any], platform_name: str, **of_jit: Any) -> None:
        import jax

        self._plain = jax.jit(function, **of_jit)
        options = compiler_options(platform_name)
        self._whole = jax.jit(function, **of_jit, compiler_options=options) if options else self._plain

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return (self._plain if _traced(arguments) else self._whole)(*arguments)

    def lower(self, *arguments: Any) -> Any:
        """Lower the function, as `jax.jit` does."""
        return self._whole.lower(*arguments)


def _traced(arguments: Any) -> bool:
    """Whether this is called within a JAX transformation; constants reveal it even without arguments of ours."""
    import jax
    import jax.numpy as jnp

    return any(isinstance(leaf, jax.core.Tracer) for leaf in (jnp.zeros(()), *jax.tree.leaves(arguments)))


@cache
def _accepted(option: str) -> bool:
    """Whether this version of XLA knows the option; an unknown one aborts the compilation."""
    import jax
    import jax.numpy as jnp

    with jax.ensure_compile_time_eval():
        one = jax.ShapeDtypeStruct((), jnp.float32)
        lowered = jax.jit(lambda x: x + 1).trace(one).lower(lowering_platforms=("cpu",))
        try:
            lowered.compile(compiler_options={option: "512"})
        except jax.errors.JaxRuntimeError:
            return False
    return True
