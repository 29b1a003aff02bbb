"""Layers that aihwkit splits over an array of chips, possibly of one chip: their bias is always digital.

Plain layers are cut where their matrix is too large as well, and are the same then.
"""

from types import ModuleType


def mapped_twins(layers: ModuleType, home: str) -> dict[str, type]:
    """By name: a twin of each layer that a module exports, for the module `home` to hold."""
    twins = {}
    for name in layers.__all__:
        plain = getattr(layers, name)
        doc = f"`{name}` on as many chips as the sizes in its mapping ask for; the bias is digital."
        twins[f"{name}Mapped"] = type(
            f"{name}Mapped", (plain,), {"__doc__": doc, "__module__": home, "_tile_options": {"bias_outside": True}}
        )
    return twins
