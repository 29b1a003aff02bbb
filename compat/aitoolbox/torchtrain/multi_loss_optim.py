"""Several losses as one."""

from collections.abc import Iterator, MutableMapping
from typing import Any


class MultiLoss(MutableMapping[str, Any]):
    """A dictionary of losses, with the index of the optimizer that each belongs to (their order by default).

    Raises `ValueError` if `loss_optimizer_map` has another number of losses.
    """

    def __init__(
        self,
        loss_dict: dict[str, Any],
        loss_optimizer_map: dict[str, int] | None = None,
        retain_graph_until_last: bool = True,
    ) -> None:
        chosen = (
            {name: index for index, name in enumerate(loss_dict)} if loss_optimizer_map is None else loss_optimizer_map
        )
        if len(chosen) != len(loss_dict):
            raise ValueError(f"loss_optimizer_map has {len(chosen)} losses, and there are {len(loss_dict)}.")
        self.loss_dict = loss_dict
        self.loss_optimizer_map = loss_optimizer_map
        self.retain_graph_until_last = retain_graph_until_last
        self.optimizer_loss_map = {int(index): str(name) for name, index in chosen.items()}

    def get_loss_dict(self) -> dict[str, Any]:
        """The losses."""
        return self.loss_dict

    def item(self) -> dict[str, Any]:
        """The losses as numbers."""
        return {name: loss.item() for name, loss in self.loss_dict.items()}

    def __getitem__(self, key: str) -> Any:
        return self.loss_dict[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.loss_dict[key] = value

    def __delitem__(self, key: str) -> None:
        del self.loss_dict[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.loss_dict)

    def __len__(self) -> int:
        return len(self.loss_dict)
