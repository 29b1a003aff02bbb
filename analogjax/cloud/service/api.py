"""The JSON API, version 1, used by our own client and the page. Documented at `/api.html` and `/openapi.json`."""

from __future__ import annotations

import base64
import json
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import BaseModel

from analogjax._version import __version__
from analogjax.cloud.configuration import CLASSES
from analogjax.cloud.description import FORMAT, LOSSES
from analogjax.cloud.errors import Refused
from analogjax.cloud.layers import LAYERS
from analogjax.cloud.noise import NOISE_MODELS
from analogjax.cloud.service.access import COOKIE, CallerIs
from analogjax.cloud.service.composer import REFUSALS, ExperimentsAre, Login, PathId
from analogjax.cloud.service.editing import readers
from analogjax.cloud.service.epochs import epochs_text, read_epochs
from analogjax.cloud.service.experiments import FILES
from analogjax.cloud.service.ledger import ENDED
from analogjax.cloud.service.listing import page, usage
from analogjax.cloud.service.messages import (
    TOTAL,
    Detailed,
    Epochs,
    Listed,
    LoggedIn,
    LogPart,
    Me,
    NewExperiment,
    Shown,
    shown,
    shown_all,
)
from analogjax.cloud.service.sessions import SESSION_SECONDS
from analogjax.cloud.service.tokens import PREFIX, caller_by_token
from analogjax.data import DATASETS
from analogjax.tile.presets import PRESETS

router = APIRouter(prefix="/api/v1", tags=["JSON API"], responses=REFUSALS)
FileName = Annotated[str, Path(pattern=f"^({'|'.join(re.escape(name) for name in FILES)})$")]


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


@router.get("", response_model=Information)
def information(request: Request) -> Any:
    """The service, and what it supports."""
    return {
        "name": "analogjax", "version": __version__, "format": FORMAT,
        "executor": request.app.state.dispatcher.executor.kind, "layers": sorted(LAYERS), "datasets": sorted(DATASETS),
        "losses": sorted(LOSSES), "presets": list(PRESETS), "classes": sorted(CLASSES),
        "noise_models": sorted(NOISE_MODELS),
    }  # fmt: skip


@router.post("/session", response_model=LoggedIn)
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
    given = [word] if scheme.lower() == "bearer" else []
    if any(one.startswith(PREFIX) for one in given):
        raise Refused("This is a token, not a session: end it with `analogjax cloud token revoke`.", 422)
    for one in (*given, request.cookies.get(COOKIE, "")):
        request.app.state.signer.end(one)
    response.delete_cookie(COOKIE)


@router.get("/me", response_model=Me)
def me(caller: CallerIs, request: Request, experiments: ExperimentsAre) -> Any:
    """Who is logged in, what they occupy of their limits, and whether the queue is paused."""
    used, limits = usage(experiments.database, caller.user), experiments.ledger.limits
    return {
        "user": caller.name, "stored": used.stored, "stored_limit": limits.stored_each, "queued": used.queued,
        "queued_limit": limits.queued_each, "drafts": used.drafts, "drafts_limit": limits.drafts_each,
        "paused": request.app.state.dispatcher.paused,
    }  # fmt: skip


@router.get(
    "/experiments", response_model=list[Shown],
    responses={200: {"headers": {TOTAL: {"description": "number of all", "schema": {"type": "integer"}}}}},
)  # fmt: skip
def list_experiments(
    caller: CallerIs, experiments: ExperimentsAre, asked: Annotated[Listed, Query()], response: Response
) -> Any:
    """One page of the caller's experiments, and of those shared with them; the header X-Total-Count has the number of
    all that match.
    """
    found, total = page(experiments.database, caller.user, asked.query())
    response.headers[TOTAL] = str(total)
    return shown_all(experiments, found)


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
    return shown(experiments, made)


@router.get("/experiments/{id}", response_model=Detailed)
def get_experiment(
    id: PathId,
    caller: CallerIs,
    experiments: ExperimentsAre,
    epochs: Annotated[bool, Query(description="whether to include all epochs")] = True,
) -> Any:
    """One experiment of the caller, or shared with them, with its description and its epochs."""
    found = experiments.ledger.readable(caller.user, id)
    details = {
        "description": None if found.description is None else json.loads(found.description),
        "epochs": read_epochs(experiments.database, id) if epochs else [],
        "files": experiments.files(found),
        "shared_with": readers(experiments.database, id) if found.user == caller.user else [],
    }
    return shown(experiments, found) | details


@router.get("/experiments/{id}/epochs", response_model=Epochs)
def get_epochs(
    id: PathId,
    caller: CallerIs,
    experiments: ExperimentsAre,
    after: Annotated[int, Query(ge=-1, le=2**31)] = -1,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 100_000,
    points: Annotated[int | None, Query(ge=1, le=100_000, description="about how many, evenly spaced")] = None,
) -> Response:
    """The state, and the epochs after number `after`; `last` is the `after` of the next request."""
    found = experiments.ledger.readable(caller.user, id)
    text, last = epochs_text(experiments.database, id, after, limit, points)
    head = json.dumps(shown(experiments, found) | {"last": last})
    return Response(f'{head[:-1]}, "epochs": {text}}}', media_type="application/json")


@router.post("/experiments/{id}/cancel", response_model=Shown)
def cancel_experiment(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> Any:
    """End an experiment; one that has ended stays as it is."""
    found = experiments.ledger.cancel(caller.user, id)
    experiments.dispatcher.wake()
    return shown(experiments, found)


@router.get("/experiments/{id}/logs", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def get_logs(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> Response:
    """The end of the latest attempt's output."""
    text = experiments.logs(experiments.ledger.readable(caller.user, id))
    return Response(text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8")


@router.get("/experiments/{id}/log", response_model=LogPart)
def get_log_part(
    id: PathId,
    caller: CallerIs,
    experiments: ExperimentsAre,
    attempt: Annotated[int, Query(ge=0, le=2**31, description="of which `after` was told")] = 0,
    after: Annotated[int, Query(ge=0, le=2**53, description="`next` of the part before, 0: the latest part")] = 0,
) -> Any:
    """What the latest attempt has printed since. To follow a log, ask again with its `attempt` and `next`."""
    found = experiments.ledger.readable(caller.user, id)
    text, end = experiments.log_part(found, after if attempt == found.attempt else 0)
    return {"attempt": found.attempt, "text": text, "next": end, "ended": found.status in ENDED}


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
    content = experiments.file(experiments.ledger.readable(caller.user, id), name)
    headers = {"Content-Disposition": f'attachment; filename="{id}_{name}"'}
    return Response(content, media_type=FILES[name], headers=headers)
