"""The service as one ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from anyio import CapacityLimiter
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from analogjax._version import __version__
from analogjax.cloud.errors import CloudError, Refused
from analogjax.cloud.executors import Executor, executor_for
from analogjax.cloud.service import api, composer, manage, refusals, workers
from analogjax.cloud.service.access import Watch
from analogjax.cloud.service.answers import answer_to
from analogjax.cloud.service.bodies import Bodies, Buffers
from analogjax.cloud.service.cleaning import Cleaner
from analogjax.cloud.service.dispatcher import Dispatcher
from analogjax.cloud.service.door import Door
from analogjax.cloud.service.experiments import Experiments
from analogjax.cloud.service.hearing import Hearing
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.listing import all_stored, queue_age
from analogjax.cloud.service.metrics import Metrics, State
from analogjax.cloud.service.notices import Notices
from analogjax.cloud.service.sessions import Signer
from analogjax.cloud.service.settings import Settings
from analogjax.cloud.service.tables import Database

_DEAF = 15.0  # [s] without an answer of the database after which the service counts as ill
_WORKER_THREADS = 16  # that serve the reports of workers alone
_PAGE = Path(__file__).parent / "page"


def create_app(settings: Settings, database: Database, executor: Executor | None = None) -> FastAPI:
    """Create the application, over an up-to-date database. Raises `CloudError` if the engine can't be used."""
    executor = executor or executor_for(settings.executor, folder=settings.home / "jobs", **settings.executor_options)
    ledger, hearing = Ledger(database, settings.limits), Hearing()
    dispatcher = Dispatcher(settings, ledger, executor, hearing)
    cleaner = Cleaner(database, settings.location(), executor, settings.retention)

    notices = None
    if settings.webhook is not None:
        notices = Notices(database, settings.webhook, settings.webhook_secret)
    worker_threads = CapacityLimiter(_WORKER_THREADS)

    def probe() -> None:
        ledger.probe()
        if (short := dispatcher.room.short()) is not None:  # heartbeats can't be written then
            raise CloudError(short)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        listening = asyncio.create_task(hearing.live(probe, worker_threads))
        dispatcher.start()
        cleaner.start()
        if notices is not None:
            notices.start()
        yield
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        dispatcher.stop()
        cleaner.stop()
        if notices is not None:
            notices.stop()
        executor.close()

    app = FastAPI(
        title="analogjax", version=__version__, lifespan=lifespan, redoc_url=None, docs_url=None,
        description="Runs experiments with analog in-memory-computing chips. Speaks the composer protocol of aihwkit's "
        "CloudRunner, and a JSON API.",
    )  # fmt: skip
    signer = Signer(database)
    app.state.settings, app.state.dispatcher, app.state.signer = settings, dispatcher, signer
    app.state.worker_threads = worker_threads
    app.state.experiments = Experiments(ledger, dispatcher, settings.location(), cleaner)
    metrics = Metrics(lambda: _state(database, ledger, dispatcher))
    dispatcher.on_end = metrics.ended
    _add_routes(app, metrics)
    _add_handlers(app)
    app.add_middleware(
        Bodies, sender=Door(signer, ledger).sender, size=settings.max_body, seconds=settings.body_seconds,
        buffers=Buffers(*(max(size, settings.max_body) for size in (settings.buffered, settings.buffered_each))),
        worker_threads=worker_threads,
    )  # fmt: skip
    app.add_middleware(Watch, metrics=metrics)
    return app


def _state(database: Database, ledger: Ledger, dispatcher: Dispatcher) -> State:
    return State(
        counts=ledger.counts(), engine_fine=dispatcher.engine_error is None, queue_age=queue_age(database),
        stored=all_stored(database), free=dispatcher.room.free(), paused=dispatcher.paused is not None,
    )  # fmt: skip


def _add_routes(app: FastAPI, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["operation"], responses={503: composer.REFUSALS[503]})
    async def healthz(request: Request) -> dict[str, str]:
        """Whether the service works: its database has answered lately, and its dispatcher is running.

        Answered at once, whatever the rest of the service waits for.
        """
        dispatcher: Dispatcher = request.app.state.dispatcher
        if dispatcher.hearing.deaf > _DEAF:
            raise Refused(f"The database or its disk has not answered for {dispatcher.hearing.deaf:.0f} s.", 503)
        if not dispatcher.alive:
            raise Refused("The dispatcher has stopped: start the service anew.", 503)
        return {"status": "ok", "engine": "ok" if dispatcher.engine_error is None else "does not answer"}

    @app.get("/metrics", tags=["operation"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def numbers() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    routers = (composer.router, api.router, manage.router, workers.router)
    for router in routers:
        app.include_router(router)
    routes = [route for known in (app, *routers) for route in known.routes if isinstance(route, APIRoute)]
    metrics.know(frozenset(route.path for route in routes))
    app.mount("/", StaticFiles(directory=_PAGE, html=True, check_dir=False), name="page")


def _add_handlers(app: FastAPI) -> None:
    """Make every refusal `{"message": …}`."""

    @app.exception_handler(Refused)
    @app.exception_handler(sa.exc.OperationalError)
    @app.exception_handler(sa.exc.TimeoutError)
    def refused(request: Request, error: Exception) -> JSONResponse:
        answer = answer_to(error)
        return _message(answer.status, _encodable(answer.message), dict(answer.headers))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        status, message = refusals.told(error.errors()[0])
        return _message(status, _encodable(message)[:500])

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        known = error.status_code in (404, 405) and error.detail in ("Not Found", "Method Not Allowed")
        text = refusals.unknown_place(request.method, request.url.path, error.status_code) if known else error.detail
        return _message(error.status_code, _encodable(str(text)), dict(error.headers or {}))


def _message(status: int, text: str, headers: dict[str, Any] | None = None) -> JSONResponse:
    return JSONResponse({"message": text}, status_code=status, headers=headers)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
