"""`CloudRunner`: submits experiments to a service, and finds those submitted before."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b64encode
from dataclasses import replace
from typing import Any

from analogjax.cloud.connection import Connection
from analogjax.cloud.credentials import find_credentials
from analogjax.cloud.description import Description
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.inference import InferenceDescription
from analogjax.cloud.remote import RemoteExperiment
from analogjax.cloud.wire.training import chips_file
from analogjax.experiments import BasicInferencing, BasicTraining


class CloudRunner:
    """Runs experiments on a service started by `analogjax serve`, on this machine or elsewhere.

    Args:
        api_url: Address of the service; by default from the environment or a file, see `analogjax.cloud.credentials`.
        api_token: Token of the user; by default from the same places.
        verify: `True`, a file of certificates to trust, or `False` for no check.

    Raises:
        CredentialsError: If there is no token; whether the service accepts it shows at the first call.

    Example:
        >>> job = CloudRunner().run(experiment, seed=1)
        >>> job.wait()
        >>> results = job.get_result()
    """

    def __init__(self, api_url: str | None = None, api_token: str | None = None, verify: bool | str = True) -> None:
        self._connection = Connection(find_credentials(api_url, api_token), verify)

    def __repr__(self) -> str:
        return f"CloudRunner({self._connection.url!r})"

    @property
    def api_url(self) -> str:
        """Address of the service."""
        return self._connection.url

    def run(
        self,
        experiment: BasicTraining | BasicInferencing,
        *,
        name: str = "",
        device: str = "gpu",
        seed: int = 0,
        max_elements_train: int = 0,
    ) -> RemoteExperiment:
        """Submit an experiment and return immediately; call `wait()` on the result to wait for its end.

        Args:
            experiment: A training or an inference. The chips of a `BasicInferencing` are uploaded with it, and so are
                the `variables` of a `BasicTraining`, which then goes on from them.
            name: Name shown in lists.
            seed: Determines everything random, as in `LocalRunner`.
            device: "gpu" to use an accelerator, if the service has one.
            max_elements_train: Use only the first items of both splits; 0: all.

        Returns:
            The submitted experiment.

        Raises:
            DescriptionError: If the experiment can't be sent as data.
            Refused: With the reason given by the service.
            CredentialsError: If the token is not accepted.
            ConnectionFailed: If the service can't be reached. Use `list_experiments` to see whether it was submitted.
        """
        description, weights = _described(experiment, seed, max_elements_train)
        kind = {"inference": ", inference", "training": ", continued" if weights else ""}[description.kind]
        name = name or f"{description.dataset}, {len(description.layers)} layers{kind}"
        body = {"name": name, "device": device, "description": description.to_json()}
        if weights is not None:
            body["weights"] = b64encode(weights).decode()
        # the id is made here, so that asking again after a broken connection makes no second experiment
        shown = self._connection.json("PUT", f"/api/v1/experiments/{uuid.uuid4().hex}", body)
        return RemoteExperiment(self._connection, shown)

    def list_experiments(self, limit: int = 1000) -> list[RemoteExperiment]:
        """The latest experiments of the token's owner, newest first. Raises as `get_experiment` does."""
        found: list[dict[str, Any]] = []
        while len(found) < limit:
            before = {"before": found[-1]["created"]} if found else {}
            asked = min(limit - len(found), 1000)
            page = self._connection.json("GET", "/api/v1/experiments", limit=asked, **before)
            found += page
            if len(page) < asked:
                break
        return [RemoteExperiment(self._connection, shown) for shown in found]

    def get_experiment(self, id: str) -> RemoteExperiment:
        """One experiment by its id. Raises `Refused`, `CredentialsError`, `ConnectionFailed`."""
        return RemoteExperiment.find(self._connection, id)

    list_cloud_experiments = list_experiments  # as aihwkit calls them
    get_cloud_experiment = get_experiment


def _described(
    experiment: BasicTraining | BasicInferencing, seed: int, max_elements: int
) -> tuple[Description | InferenceDescription, bytes | None]:
    if isinstance(experiment, BasicInferencing):
        return InferenceDescription.of(experiment, seed=seed, max_elements=max_elements)
    if not isinstance(experiment, BasicTraining):
        raise DescriptionError(
            f"run({type(experiment).__name__}): give an analogjax.BasicTraining or an experiments.BasicInferencing."
        )
    made = Description.of(experiment, seed=seed, max_elements=max_elements)
    if experiment.variables is None:
        return made, None
    chips = chips_file(made, experiment.variables)
    return replace(made, weights=hashlib.sha256(chips).hexdigest()), chips
