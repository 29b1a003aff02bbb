"""Running a training in the cloud."""

from typing import Any

from compat.aihwkit.cloud.client.utils import find_session
from compat.aihwkit.experiments.runners.base import Runner


class CloudRunner(Runner):
    """Runs trainings on a service: IBM's, or one that `analogjax serve` started.

    Address and token are found by `ClientConfiguration` if they are not given; without an address it is IBM's. Made, it
    is logged in. Raises `CredentialsError` without a token that the service accepts. `verify` is `True`, a file of
    certificates to trust, or `False` for no check.
    """

    def __init__(self, api_url: str | None = None, api_token: str | None = None, verify: bool | str = True) -> None:
        self.session = find_session(api_url, api_token, verify)
        self.api_url, self.api_token = self.session.api_url, self.session.api_token
        self.api_client: Any = self._client()

    def _client(self) -> Any:
        from compat.aihwkit.cloud.client.v1.api_client import ApiClient

        return ApiClient(self.session)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.api_url!r})"

    def get_cloud_experiment(self, id_: str) -> Any:
        """One `CloudExperiment`, by its id."""
        return self.api_client.experiment_get(id_)

    def list_cloud_experiments(self) -> list[Any]:
        """All experiments of the token's owner."""
        return self.api_client.experiments_list()

    def run(self, experiment: Any, name: str = "", device: str = "gpu", **_: Any) -> Any:
        """Submit a `BasicTraining`, and return its `CloudExperiment` at once. Raises `ConversionError`."""
        name = name or _name("aihwkit cloud experiment", experiment)
        return self.api_client.experiment_create(experiment, name, device)


def _name(head: str, experiment: Any) -> str:
    dataset = getattr(experiment.dataset, "__name__", "?")
    return f"{head} ({dataset}, {len(list(experiment.model.children()))} layers)"
