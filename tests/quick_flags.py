"""Prints the XLA flags with which `make test` compiles: those that halve the time, as far as this jaxlib knows them.

XLA ends the process at a flag in `XLA_FLAGS` that it does not know, and its flags come and go with its releases.
"""

import jax

QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,  # gone in jaxlib 0.12
}


def known(flags: dict[str, int | bool]) -> list[str]:
    """Of `flags` (name to value), those that the installed jaxlib accepts, as they are written in `XLA_FLAGS`."""
    return [f"--{name}={str(value).lower()}" for name, value in flags.items() if _accepts(name, value)]


def _accepts(name: str, value: int | bool) -> bool:
    lowered = jax.jit(lambda x: x + 1).lower(1.0)
    try:
        lowered.compile(compiler_options={name: value})  # here an unknown name is an error that can be caught
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return False
    return True


if __name__ == "__main__":
    print(*known(QUICK))
