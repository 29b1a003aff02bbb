"""What a scheduler is."""

from typing import Any


class AbstractScheduler:
    """Something whose `scheduler` changes the learning rate, and whose state goes into checkpoints."""

    def __init__(self) -> None:
        self.scheduler: Any = None

    def state_dict(self) -> dict[str, Any]:
        """The state of `scheduler`."""
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Gives `scheduler` a state."""
        self.scheduler.load_state_dict(state_dict)
