"""`Resumable`: a data loader that remembers how far it is, so that Lightning can resume within an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analogjax.callbacks import random_state
from analogjax.errors import ConfigError


class Resumable:
    """A data loader whose position can be saved and restored, in the way that Lightning asks loaders for.

    Each pass over `loader` begins with the state of the random generators, from which its order is drawn, and counts
    its batches. Restored, the next pass begins with that state again and passes over the batches that were seen, so it
    goes on with the very next one. The batches passed over are loaded, not trained.

    Args:
        loader: What gives the batches, such as a `torch.utils.data.DataLoader`. Its order must follow from the random
            generators of Python, NumPy or PyTorch, or be the same each time. One with a `generator=` of its own must be
            given `generator` here too. What worker processes draw for augmentations follows from PyTorch's generator.
        generator: The `torch.Generator` that the sampler draws from, if it has one of its own.

    Raises:
        ConfigError: If `loader` cannot be iterated over again.

    Example:
        >>> trainer.fit(model, Resumable(DataLoader(data, batch_size=32, shuffle=True)), ckpt_path=backup.newest())
    """

    def __init__(self, loader: Any, *, generator: Any = None) -> None:
        """Wrap the loader; see the class for the arguments."""
        if not hasattr(loader, "__iter__") or hasattr(loader, "__next__"):
            raise ConfigError(
                f"Resumable: a {type(loader).__name__} can't be read again from its beginning; give a loader or a list."
            )
        self.loader, self.generator = loader, _own_generator(loader) if generator is None else generator
        self._begun: dict[str, Any] = {}  # the random state when this pass began
        self._seen = 0  # batches of this pass
        self._loaded: dict[str, Any] | None = None

    def __len__(self) -> int:
        """The number of batches. Raises `TypeError` where the loader does not know it."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """One pass over the loader, or the rest of the one that was restored."""
        loaded = self._loaded  # until a batch is taken: Lightning begins a pass twice after the end of an epoch
        if loaded is not None:
            self._restore(loaded["begun"])
        self._begun, self._seen = self._capture(), 0
        batches = iter(self.loader)
        if loaded is not None and not loaded.get("ended"):
            for _ in range(loaded["seen"]):
                next(batches, None)
            self._seen = loaded["seen"]
            self._restore(loaded["random"])
        return self._rest(batches)

    def _rest(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self._loaded = None
            self._seen += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """How far this pass is, as plain values."""
        return {"begun": self._begun or self._capture(), "seen": self._seen, "random": self._capture()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state` with the next pass; a pass that had ended is not repeated, a new one begins."""
        ended = hasattr(self.loader, "__len__") and state["seen"] >= len(self.loader)
        self._loaded = {"begun": state["random"], "ended": True} if ended else state

    def _capture(self) -> dict[str, Any]:
        own = None if self.generator is None else self.generator.get_state().numpy().tobytes().hex()
        return {"global": random_state.capture(), "own": own}

    def _restore(self, state: dict[str, Any]) -> None:
        random_state.restore(state["global"])
        if self.generator is not None and state["own"] is not None:
            self.generator.set_state(random_state.as_tensor(state["own"]))


def _own_generator(loader: Any) -> Any:
    own = getattr(loader, "generator", None)
    return own if own is not None else getattr(getattr(loader, "sampler", None), "generator", None)
