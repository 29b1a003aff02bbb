"""Reports of workers: heartbeats with the completed epochs, and the end."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from analogjax.cloud.errors import Refused
from analogjax.cloud.service.composer import REFUSALS, ExperimentsAre, PathId

router = APIRouter(prefix="/workers/v1/experiments/{id}/attempts/{attempt}", tags=["workers"], include_in_schema=False)
Attempt = Annotated[int, Path(ge=0, le=2**31)]


class Beat(BaseModel):
    """A heartbeat."""

    model_config = ConfigDict(extra="ignore")
    epochs: Annotated[list[dict[str, Any]], Field(max_length=100_000)] = []


@router.post("/beat", responses=REFUSALS)
async def beat(
    id: PathId,
    attempt: Attempt,
    report: Beat,
    experiments: ExperimentsAre,
    request: Request,
    authorization: Annotated[str, Header()] = "",
) -> dict[str, bool]:
    """Receive a heartbeat; the answer tells the worker whether to stop."""
    if not all(isinstance(entry.get("epoch"), int) and 0 <= entry["epoch"] < 2**31 for entry in report.epochs):
        raise Refused("An epoch needs its number.", 422)
    given = (id, attempt, _secret(authorization), report.epochs)
    return {"stop": await on_worker_thread(request, experiments.ledger.beat, *given)}


@router.post("/end", responses=REFUSALS)
async def end(
    id: PathId, attempt: Attempt, experiments: ExperimentsAre, request: Request,
    authorization: Annotated[str, Header()] = "",
) -> dict[str, bool]:  # fmt: skip
    """Receive the report that the outcome of the attempt is in the store."""
    await on_worker_thread(request, experiments.ledger.beat, id, attempt, _secret(authorization), [])
    request.app.state.dispatcher.ended(id, attempt)
    return {"heard": True}


async def on_worker_thread(request: Request, act: Any, *given: Any) -> Any:
    """Do it on a thread that requests of users can't occupy."""
    return await to_thread.run_sync(partial(act, *given), limiter=request.app.state.worker_threads)


def _secret(authorization: str) -> str:
    return authorization.removeprefix("Bearer ")
