"""The part of the JSON API that changes what is there: edit, run again, share, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from analogjax.cloud.service import disposal
from analogjax.cloud.service.access import CallerIs
from analogjax.cloud.service.composer import REFUSALS, ExperimentsAre, PathId
from analogjax.cloud.service.editing import edit, share, unshare
from analogjax.cloud.service.messages import Edit, Shown, shown

router = APIRouter(prefix="/api/v1", tags=["JSON API"], responses=REFUSALS)
Other = Annotated[str, Path(max_length=64, description="name of the other user")]


@router.patch("/experiments/{id}", response_model=Shown)
def edit_experiment(id: PathId, asked: Edit, caller: CallerIs, experiments: ExperimentsAre) -> Any:
    """Change the name, the tags or the notes of an experiment."""
    return shown(experiments, edit(experiments.database, caller.user, id, asked.name, asked.tags, asked.notes))


@router.delete("/experiments/{id}", status_code=204)
def delete_experiment(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> None:
    """Delete an experiment that has ended, with all its files. A second request gets 404."""
    disposal.delete(experiments.database, caller.user, id)
    experiments.cleaner.wake()


@router.post("/experiments/{id}/rerun", response_model=Shown)
def rerun_experiment(id: PathId, caller: CallerIs, experiments: ExperimentsAre) -> Any:
    """Queue a failed or cancelled experiment again; it resumes from its last checkpoint."""
    return shown(experiments, experiments.rerun(caller.user, id))


@router.put("/experiments/{id}/shares/{user}", status_code=204)
def share_experiment(id: PathId, user: Other, caller: CallerIs, experiments: ExperimentsAre) -> None:
    """Let another user read an experiment: its description, epochs, log and files."""
    share(experiments.database, caller.user, id, user)


@router.delete("/experiments/{id}/shares/{user}", status_code=204)
def unshare_experiment(id: PathId, user: Other, caller: CallerIs, experiments: ExperimentsAre) -> None:
    """End that; nothing happens if it was not shared."""
    unshare(experiments.database, caller.user, id, user)
