"""The messages of the JSON API: what is asked, and what is answered."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from analogjax.cloud.service.composer import Name
from analogjax.cloud.service.experiments import Experiments
from analogjax.cloud.service.ledger import ENDED
from analogjax.cloud.service.listing import Query, names, places
from analogjax.cloud.service.tables import Experiment

TOTAL = "X-Total-Count"
Status = Literal["draft", "waiting", "running", "completed", "failed", "cancelled"]
Sort = Literal["created", "name", "status", "dataset", "accuracy", "epochs", "started", "ended", "stored"]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r'^[^\x00-\x1f\x7f",\\\\]*$')]
Notes = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]


class Me(BaseModel):
    """Who is logged in, and what they occupy."""

    user: str
    stored: int = Field(description="bytes that their experiments occupy")
    stored_limit: int
    queued: int = Field(description="experiments waiting or running")
    queued_limit: int
    drafts: int = Field(description="experiments that were never submitted")
    drafts_limit: int
    paused: str | None = Field(description="why no waiting experiment is started now, if that is so")


class LoggedIn(BaseModel):
    """Who is logged in."""

    user: str


class NewExperiment(BaseModel):
    """An experiment to be run, as data."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Name = ""
    device: Literal["cpu", "gpu"] = "gpu"
    description: dict[str, Any] = Field(
        description="see analogjax.cloud.description, and analogjax.cloud.inference for inferences"
    )
    weights: Annotated[str | None, Field(description="the file of chips that it names, protobuf in base64")] = None


class Edit(BaseModel):
    """What is to be changed of an experiment; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Annotated[Name, StringConstraints(min_length=1)] | None = None
    tags: Annotated[list[Tag], Field(max_length=20)] | None = None
    notes: Notes | None = None


class Listed(BaseModel):
    """Which experiments are wanted, and in which order."""

    model_config = ConfigDict(extra="ignore")
    scope: Literal["mine", "shared", "all"] = "mine"
    search: Annotated[str, Field(max_length=200, description="words in name, id, notes, tags or dataset")] = ""
    status: Annotated[list[Status], Field(max_length=6, description="may be given several times")] = []
    category: Literal["train", "inference"] | None = None
    tag: Annotated[str | None, Field(max_length=40)] = None
    dataset: Annotated[str | None, Field(max_length=40)] = None
    before: Annotated[float | None, Field(ge=0, le=1e12, description="created before this time")] = None
    sort: Sort = "created"
    order: Literal["asc", "desc"] = "desc"
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    offset: Annotated[int, Field(ge=0, le=2**31)] = 0

    def query(self) -> Query:
        """The same as the list takes it."""
        given = self.model_dump(exclude={"order", "status"})
        return Query(**given, status=tuple(self.status), descending=self.order == "desc")


class Shown(BaseModel):
    """An experiment. Times are seconds since 1970 (UTC), durations seconds."""

    id: str
    name: str
    owner: str
    category: str
    device: str
    status: Status
    reason: str | None = Field(description="why it failed, was cancelled or waits again")
    created: float
    submitted: float | None
    started: float | None
    ended: float | None
    elapsed: float | None = Field(description="since it started, until it ended or now")
    remaining: float | None = Field(description="estimate for a running one, from its last epoch")
    place: int | None = Field(description="of a waiting one in the queue, from 1")
    attempt: int
    cancelling: bool
    epochs_planned: int
    epochs_done: int
    accuracy: float | None = Field(description="of the last epoch, a fraction")
    dataset: str | None
    tags: list[str]
    notes: str
    stored: int = Field(description="bytes that its files occupy, as last counted")


class Detailed(Shown):
    """An experiment with everything known about it."""

    description: dict[str, Any] | None
    epochs: list[dict[str, Any]]
    files: list[str]
    shared_with: list[str]


class Epochs(Shown):
    """The state and the requested epochs: what a page needs to stay up to date."""

    last: int = Field(description="the number to give as `after` in the next request")
    epochs: list[dict[str, Any]]


class LogPart(BaseModel):
    """What an attempt has printed since."""

    attempt: int
    text: str
    next: int = Field(description="the number to give as `after` in the next request")
    ended: bool = Field(description="whether nothing more is to come")


_AS_THEY_ARE = (
    "id", "name", "category", "device", "status", "reason", "created", "started", "ended", "attempt", "cancelling",
    "epochs_planned", "epochs_done", "accuracy", "dataset", "notes", "stored",
)  # fmt: skip


def shown(experiments: Experiments, one: Experiment) -> dict[str, Any]:
    """An experiment in the format of the API."""
    return shown_all(experiments, [one])[0]


def shown_all(experiments: Experiments, found: list[Experiment]) -> list[dict[str, Any]]:
    """Experiments in the format of the API."""
    owners = names(experiments.database, [one.user for one in found]) if found else {}
    queue = places(experiments.database) if any(one.status == "waiting" for one in found) else {}
    return [
        {name: getattr(one, name) for name in _AS_THEY_ARE}
        | {"owner": owners.get(one.user, "?"), "place": queue.get(one.id), "tags": json.loads(one.tags)}
        | {"submitted": one.queued, "elapsed": _elapsed(one), "remaining": _remaining(one)}
        for one in found
    ]


def _elapsed(one: Experiment) -> float | None:
    if one.started is None:
        return None
    end = one.ended if one.ended is not None and one.status in ENDED else time.time()
    return max(0.0, end - one.started)


def _remaining(one: Experiment) -> float | None:
    if one.status != "running" or one.epoch_seconds is None:
        return None
    return one.epoch_seconds * max(0, one.epochs_planned - one.epochs_done)
