"""The parts of a gate come in; its ASGI app goes out: every route, behind the guard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from pipeline.gate import admission, commands, contacts, ingest, live, overview, pages, queries, signing_in, spending
from pipeline.gate.guard import Guard
from pipeline.gate.parts import Gate, Parts, running
from pipeline.gate.problems import Problem, ProblemBody, answer_problems, documented
from pipeline.gate.quick_admission import QuickAdmission
from pipeline.gate.resources import put_examples

AS_OF_AGE = Gauge("gate_status_age_seconds", "How old the oldest partition of the copy of credit-status is")
MEMBERS = Gauge("gate_status_members", "Members in the copy of credit-status")

health = APIRouter(tags=["health"])


@health.get("/healthz", operation_id="getHealth")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@health.get("/readyz", operation_id="getReadiness", responses=documented(503))
async def readyz(gate: Parts) -> dict[str, str]:
    """The copy of credit-status is whole, and answers of the ledger are heard."""
    missing = gate.why_not_ready()
    if missing is not None:
        raise Problem(503, "not_ready", missing, headers={"retry-after": "2"})
    return {"status": "ready"}


@health.get("/metrics", operation_id="getMetrics", response_class=Response)
async def metrics(gate: Parts) -> Response:
    """For Prometheus."""
    MEMBERS.set(gate.copy.size())
    if gate.copy.clocks:
        AS_OF_AGE.set(gate.now() - min(gate.copy.clocks.values()) / 1_000_000)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def gate_api(gate: Gate | None = None) -> FastAPI:
    """The routes; without parts, only to be described."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        assert gate is not None
        async with running(gate):
            yield

    app = FastAPI(
        title="usage-credits",
        summary="Ingest, admission, commands and queries of usage credits",
        version=version("usage-credits"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.gate = gate
    answer_problems(app)
    for part in (admission, ingest, commands, contacts, queries, overview, spending, live, pages, signing_in):
        app.include_router(part.router)
    app.include_router(health)
    app.mount("/page", pages.Files(directory=pages.FOLDER), "page")
    make_openapi = app.openapi

    def openapi() -> dict[str, Any]:
        document = make_openapi()
        schemas = document["components"]["schemas"]
        schemas["ProblemBody"] = ProblemBody.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        problem = documented(422)[422]
        for operations in document["paths"].values():
            for operation in operations.values():
                if "422" in operation["responses"]:
                    operation["responses"]["422"] = problem
        put_examples(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def gate_app(gate: Gate) -> Guard:
    """The whole app."""
    return Guard(gate_api(gate), QuickAdmission(gate))
