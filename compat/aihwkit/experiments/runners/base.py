"""What runners have in common."""

from typing import Any


class Runner:
    """Runs experiments."""

    def run(self, experiment: Any, **kwargs: Any) -> Any:
        """Run one."""
        raise NotImplementedError
