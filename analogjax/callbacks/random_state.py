"""States of the random generators that data loaders draw from: Python's, NumPy's, and PyTorch's where it is loaded."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np


def capture() -> dict[str, Any]:
    """The states of this process' generators, as plain JSON values.

    Returns:
        `python` and `numpy`, and `torch` (CPU) and `cuda` (one per device) if PyTorch is imported and has used them.
    """
    version, words, gauss = random.getstate()
    legacy: Any = np.random.get_state(legacy=True)
    kind, keys, position, has_gauss, cached = legacy
    found: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [str(kind), keys.tobytes().hex(), int(position), int(has_gauss), float(cached)],
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = _hex(torch.get_rng_state())
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["cuda"] = [_hex(state) for state in torch.cuda.get_rng_state_all()]
    return found


def restore(state: dict[str, Any]) -> None:
    """Put the generators into a state that `capture` returned; those that are not loaded here are left out."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.frombuffer(bytes.fromhex(keys), np.uint32), position, has_gauss, cached))
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in state:
        torch.set_rng_state(as_tensor(state["torch"]))
        if "cuda" in state and torch.cuda.is_available() and torch.cuda.device_count() == len(state["cuda"]):
            torch.cuda.set_rng_state_all([as_tensor(one) for one in state["cuda"]])


def as_tensor(text: str) -> Any:
    """Hexadecimal text as a `torch.uint8` tensor; PyTorch must be loaded."""
    return sys.modules["torch"].frombuffer(bytearray.fromhex(text), dtype=sys.modules["torch"].uint8)


def _hex(tensor: Any) -> str:
    return tensor.numpy().tobytes().hex()
