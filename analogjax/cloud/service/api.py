"""The JSON API, version 1, used by our own client and the page. Documented at `/api.html` and `/openapi.json`."""

from __future__ import annotations

import base64
import json
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import BaseModel, ConfigDict, Field

from analogjax._version import __version__
from analogjax.cloud.configuration import CLASSES
from analogjax.cloud.description import FORMAT, LOSSES
from analogjax.cloud.errors import Refused
from analogjax.cloud.layers import LAYERS
from analogjax.cloud.noise import NOISE_MODELS
from analogjax.cloud.service.access import COOKIE, CallerIs
from analogjax.cloud.service.composer import REFUSALS, ExperimentsAre, Login, Name, PathId
from analogjax.cloud.service.experiments import FILES, Experiments
from analogjax.cloud.service.sessions import SESSION_SECONDS
from analogjax.cloud.service.tables import Experiment
from analogjax.cloud.service.tokens import PREFIX, caller_by_token
from analogjax.data import DATASETS
from analogjax.tile.presets import PRESETS

router = APIRouter(prefix="/api/v1", tags=["JSON API"], responses=REFUSALS)
FileName = Annotated[str, Path(pattern=f"^({'|'.join(re.escape(name) for name in FILES)})$")]
Status = Literal["draft", "waiting", "running", "completed", "failed", "cancelled"]


class Information(BaseModel):
    """The service, and what experiments may consist of."""

    name: str
    version: str
    format: str
    executor: str
    layers: list[str]
    datasets: list[str]
    losses: list[str]
    presets: list[str]
    classes: list[str]
    noise_models: list[str]


class Me(BaseModel):
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
    weights: Annotated[
        str | None, Field(description="the file of chips that an inference names, protobuf in base64")
    ] = None


class Shown(BaseModel):
    """An experiment. Times are seconds since 1970 (UTC)."""

    id: str
    name: str
    category: str
    device: str
    status: Status
    reason: str | None
    created: float
    started: float | None
    ended: float | None
    attempt: int
    cancelling: bool
    epochs_planned: int
    epochs_done: int
    accuracy: float | None  # of the last epoch
    dataset: str | None


class Detailed(Shown):
    """An experiment with everything known about it."""

    description: dict[str, Any] | None
    epochs: list[dict[str, Any]]
    files: list[str]


class Epochs(BaseModel):
    """The state and the requested epochs: what a page needs to stay up to date."""

    status: Status
    reason: str | None
    epochs: list[dict[str, Any]]


@router.get("", response_model=Information)
def information(request: Request) -> Any:
    """The service, and what it supports."""
    return {
        "name": "analogjax", "version": __version__, "format": FORMAT,
        "executor": request.app.state.dispatcher.executor.kind, "layers": sorted(LAYERS), "datasets": sorted(DATASETS),
        "losses": sorted(LOSSES), "presets": list(PRESETS), "classes": sorted(CLASSES),
        "noise_models": sorted(NOISE_MODELS),
    }  # fmt: skip


@router.post("/session", response_model=Me)
def begin_session(asked: Login, request: Request, response: Response) -> Any:
    """Log in from a page: the session is a cookie that scripts can't read."""
    signer = request.app.state.signer
    found = caller_by_token(signer.database, asked.token)
    if found is None:
        raise Refused("This token is not valid, or no longer.", 401)
    secure = (request.app.state.settings.public_url or str(request.base_url)).startswith("https:")
    response.set_cookie(
        COOKIE, signer.session(found), max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure
    )
    return {"user": found.name}


@router.delete("/session", status_code=204)
def end_session(request: Request, response: Response) -> None:
    """Log out: the session becomes invalid at once, wherever it is stored. Without a session, nothing happens."""
    scheme, word = get_authorization_scheme_param(request.headers.get("authorization"))
    shown = [word] if scheme.lower() == "bearer" else []
    if any(one.startswith(PREFIX) for one in shown):
        raise Refused("This is a token, not a session: end it with `analogjax cloud token revoke`.", 422)
    for one in (*shown, request.cookies.get(COOKIE, "")):
        request.app.state.signer.end(one)
    response.delete_cookie(COOKIE)


@router.get("/me", response_model=Me)
def me(caller: CallerIs) -> Any:
    """Who is logged in."""
    return {"user": caller.name}


@router.get("/experiments", response_model=list[Shown])
def list_experiments(
    caller: CallerIs,
    experiments: ExperimentsAre,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[float | None, Query(ge=0, le=1e12, description="created before this time")] = None,
) -> Any:
    """The caller's experiments, newest first."""
    return _shown_all(experiments, experiments.ledger.of_user(caller.user, limit=limit, before=before))


@router.put("/experiments/{id}", response_model=Shown, status_code=201, responses={200: {"model": Shown}})
def put_experiment(
    id: PathId, asked: NewExperiment, caller: CallerIs, experiments: ExperimentsAre, response: Response
) -> Any:
    """Submit an experiment under an id made by the client. Repeating the request (200) changes nothing."""
    try:
        weights = None if asked.weights is None else base64.b64decode(asked.weights, validate=True)
    except ValueError:
        raise Refused("weights: this is no base64.", 422) from None
    made, new = experiments.put(caller.user, id, asked.name or "experiment", asked.device, asked.description, weights)
    response.status_code = 201 if new else 200
    return _shown(experiments, made)


@router.get("/experiments/{id}", response_model=Detailed)
def get_experiment(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> Any:
    """One experiment of the caller, with its description and its epochs."""
    found = experiments.ledger.get(caller.user, id)
    description = None if found.description is None else json.loads(found.description)
    details = {"description": description, "epochs": experiments.ledger.epochs(id), "files": experiments.files(found)}
    return _shown(experiments, found) | details


@router.get("/experiments/{id}/epochs", response_model=Epochs)
def get_epochs(
    id: PathId, caller: CallerIs, experiments: ExperimentsAre, after: Annotated[int, Query(ge=-1, le=2**31)] = -1
) -> Any:
    """The epochs after number `after`."""
    found = experiments.ledger.get(caller.user, id)
    return {"status": found.status, "reason": found.reason, "epochs": experiments.ledger.epochs(id, after)}


@router.post("/experiments/{id}/cancel", response_model=Shown)
def cancel_experiment(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> Any:
    """End an experiment; one that has ended stays as it is."""
    found = experiments.ledger.cancel(caller.user, id)
    experiments.dispatcher.wake()
    return _shown(experiments, found)


@router.get("/experiments/{id}/logs", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def get_logs(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> Response:
    """The end of the latest attempt's output."""
    text = experiments.logs(experiments.ledger.get(caller.user, id))
    return Response(text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8")


@router.get(
    "/experiments/{id}/files/{name}", response_class=Response,
    responses={200: {"content": {kind: {} for kind in FILES.values()}}},
)  # fmt: skip
def get_file(
    id: PathId,
    name: FileName,
    caller: CallerIs,
    experiments: ExperimentsAre,
) -> Response:
    """A file of an experiment."""
    content = experiments.file(experiments.ledger.get(caller.user, id), name)
    headers = {"Content-Disposition": f'attachment; filename="{id}_{name}"'}
    return Response(content, media_type=FILES[name], headers=headers)


def _shown(experiments: Experiments, one: Experiment) -> dict[str, Any]:
    return _shown_all(experiments, [one])[0]


def _shown_all(experiments: Experiments, found: list[Experiment]) -> list[dict[str, Any]]:
    """Experiments in the format of the API."""
    progress = experiments.ledger.progress([one.id for one in found])
    names = (
        "id", "name", "category", "device", "status", "reason", "created", "started", "ended", "attempt", "cancelling",
        "epochs_planned",
    )  # fmt: skip
    shown = []
    for one in found:
        number, last = progress.get(one.id, (0, {}))
        dataset = None if one.description is None else json.loads(one.description)["dataset"]
        reported = {"epochs_done": number, "accuracy": last.get("accuracy"), "dataset": dataset}
        shown.append({name: getattr(one, name) for name in names} | reported)
    return shown
