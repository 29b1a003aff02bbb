"""The composer protocol, version 1, used by aihwkit's `CloudRunner`. Job, input and output share one id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from analogjax.cloud.artefacts import ID
from analogjax.cloud.errors import Refused
from analogjax.cloud.service.access import CallerIs
from analogjax.cloud.service.experiments import FILES, Experiments
from analogjax.cloud.service.sessions import Signer
from analogjax.cloud.service.tables import Experiment
from analogjax.cloud.service.tokens import Caller, caller_by_token

router = APIRouter(tags=["composer protocol"])
Name = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Id = Annotated[str, StringConstraints(pattern=f"^{ID.pattern}$")]
PathId = Annotated[str, Path(pattern=f"^{ID.pattern}$", description="id of the experiment")]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Message(BaseModel):
    """Why a request was not carried out."""

    message: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Message, "description": text}
    for status, text in (
        (400, "Not a request"), (401, "Not logged in"), (403, "Not allowed"), (404, "No such thing of yours"),
        (408, "Too slow"), (409, "Not in this state"), (413, "Too large"), (422, "Not valid"), (429, "Too many"),
        (503, "The database or the store does not work now: try again"), (507, "No room for more files of yours"),
    )
}  # fmt: skip


class Login(_Asked):
    """A token."""

    token: Annotated[str, Field(max_length=1000)]


class Session(BaseModel):
    """A session, valid for a week or until its token is revoked."""

    jwt: str


class Draft(_Asked):
    """What is created first."""

    name: Name = ""
    category: Literal["train", "trainweb", "inference", "inferenceweb"]


class ForExperiment(_Asked):
    """An experiment, and the device that it requests."""

    experiment: Id
    device: Literal["cpu", "gpu"] = "gpu"


class Url(BaseModel):
    """Where a file can be written or read, for an hour or until the token is revoked, without further credentials."""

    url: str


def experiments_of(request: Request) -> Experiments:
    """The service's experiments."""
    return request.app.state.experiments


ExperimentsAre = Annotated[Experiments, Depends(experiments_of)]


@router.post("/token/login", response_model=Session, responses={400: REFUSALS[400], 422: REFUSALS[422]})
def login(asked: Login, request: Request) -> Any:
    """Exchange a token for a session."""
    signer: Signer = request.app.state.signer
    caller = caller_by_token(signer.database, asked.token)
    if caller is None:
        raise Refused("This token is not valid, or no longer.", 400)  # the status that the client expects
    return {"jwt": signer.session(caller)}


@router.get("/experiments/me", responses=REFUSALS)
def list_experiments(caller: CallerIs, experiments: ExperimentsAre) -> list[dict[str, Any]]:
    """The caller's submitted experiments, oldest first."""
    return [shown(one) for one in reversed(experiments.ledger.of_user(caller.user))]


@router.get("/experiments/{id}", responses=REFUSALS)
def get_experiment(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> dict[str, Any]:
    """One experiment of the caller."""
    return shown(experiments.ledger.get(caller.user, id))


@router.post("/experiments", responses=REFUSALS)
def create_experiment(asked: Draft, caller: CallerIs, experiments: ExperimentsAre) -> dict[str, Any]:
    """Create an experiment; its input and its job follow."""
    category = asked.category.removesuffix("web")
    return shown(experiments.ledger.create(caller.user, asked.name or "experiment", category))


@router.post("/inputs", response_model=Url, responses=REFUSALS)
def create_input(asked: ForExperiment, caller: CallerIs, experiments: ExperimentsAre, request: Request) -> Any:
    """Where the input is to be written."""
    found = experiments.ledger.get(caller.user, asked.experiment)
    if found.status != "draft":
        raise Refused("The experiment was submitted already: its input can't change.", 409)
    return {"url": _url(request, caller, "write", found.id, "input.pb")}


@router.get("/inputs/{id}/file", response_model=Url, responses=REFUSALS)
def get_input(id: PathId, caller: CallerIs, experiments: ExperimentsAre, request: Request) -> Any:
    """Where the input can be read."""
    found = experiments.ledger.get(caller.user, id)
    if not found.has_payload:
        raise Refused("The experiment has no input in protobuf.", 404)
    return {"url": _url(request, caller, "read", found.id, "input.pb")}


@router.post("/jobs", responses=REFUSALS)
def create_job(asked: ForExperiment, caller: CallerIs, experiments: ExperimentsAre) -> dict[str, Any]:
    """Queue the experiment; repeating this has no effect."""
    return _job(experiments.submit(caller.user, asked.experiment, asked.device))


@router.get("/jobs/{id}", responses=REFUSALS)
def get_job(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> dict[str, Any]:
    """Status of the job of an experiment."""
    found = experiments.ledger.get(caller.user, id)
    if found.status == "draft":
        raise Refused("The experiment was not submitted yet.", 404)
    return _job(found)


@router.get("/outputs/{id}/file", response_model=Url, responses=REFUSALS)
def get_output(id: PathId, caller: CallerIs, experiments: ExperimentsAre, request: Request) -> Any:
    """Where the output can be read."""
    found = experiments.ledger.get(caller.user, id)
    if found.status != "completed":
        raise Refused(f"The experiment is {found.status} and has no output.", 404)
    return {"url": _url(request, caller, "read", found.id, "output.pb")}


@router.put(
    "/files/{word}",
    status_code=204,
    responses=REFUSALS,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {"schema": {"format": "binary"}}}}},
)
async def write_file(word: str, request: Request) -> Response:
    """Write the input of an experiment."""
    from starlette.concurrency import run_in_threadpool

    payload = await request.body()
    return await run_in_threadpool(_write, word, payload, request)


def _write(word: str, payload: bytes, request: Request) -> Response:
    held, experiments = request.app.state.signer.file_of(word, "write"), experiments_of(request)
    found = experiments.ledger.get(held.caller.user, held.experiment)
    if found.status != "draft":
        raise Refused("The experiment was submitted already: its input can't change.", 409)
    experiments.take_input(found, payload)
    return Response(status_code=204)


@router.get(
    "/files/{word}", response_class=Response, responses=REFUSALS | {200: {"content": {"application/x-protobuf": {}}}}
)
def read_file(word: str, request: Request) -> Response:
    """Read a file of an experiment."""
    held, experiments = request.app.state.signer.file_of(word, "read"), experiments_of(request)
    found = experiments.ledger.get(held.caller.user, held.experiment)
    return Response(experiments.file(found, held.name), media_type=FILES[held.name])


def shown(one: Experiment) -> dict[str, Any]:
    """An experiment in the terms of the protocol. It always includes the id of the input, which the client never asks
    for again.
    """
    created = datetime.fromtimestamp(one.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    reported = {"id": one.id, "name": one.name, "category": one.category, "createdAt": created, "input": {"id": one.id}}
    return reported if one.status == "draft" else reported | {"job": _job(one)}


def _job(one: Experiment) -> dict[str, Any]:
    return {"id": one.id, "status": one.status} | ({"output": one.id} if one.status == "completed" else {})


def _url(request: Request, caller: Caller, verb: str, experiment: str, name: str) -> str:
    base = request.app.state.settings.public_url or str(request.base_url)
    return f"{base.rstrip('/')}/files/{request.app.state.signer.file(caller, verb, experiment, name)}"
