"""What a gate says over HTTP where nothing stands behind it: bounds of size and time, bugs, months, its own files."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from pipeline.gate.admission import MOST_QUERIES
from pipeline.gate.app import gate_api
from pipeline.gate.callers import dev_secret, dev_token
from pipeline.gate.guard import MOST_ADMISSION_BYTES, MOST_BYTES, Guard
from pipeline.gate.pages import FOLDER, POLICY
from pipeline.gate.parts import Gate, gate_parts
from pipeline.gate.quick_admission import QuickAdmission
from pipeline.settings import Settings
from schemas.status import OrganizationStatus

ACME = OrganizationStatus(org_id="acme", plan="team", credits_enabled=True, org_seq=1)
SPEND = "/v1/organizations/acme/spend"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    made = gate_parts(Settings(data_dir=tmp_path, gate_dev_tokens=True))
    made.copy.take(0, ACME.key(), ACME.value())
    made.copy.is_whole = True
    made.copy.clocks = {0: made.now_micros()}
    return made


@pytest.fixture(scope="module")
def routes() -> FastAPI:
    """Made once: it takes a second."""
    return gate_api()


@pytest.fixture
def guard(gate: Gate, routes: FastAPI) -> Guard:
    routes.state.gate = gate
    return Guard(routes, QuickAdmission(gate))


@pytest.fixture
async def http(gate: Gate, guard: Guard) -> AsyncIterator[httpx.AsyncClient]:
    scopes = ("admission:read", "billing:write")
    token = dev_token(dev_secret(gate.settings.data_dir), "chat", scopes, gate.settings.gate_audience, 60)
    transport = httpx.ASGITransport(guard, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gate", headers=headers) as client:
        yield client


async def pieces(*body: bytes, pause_seconds: float = 0) -> AsyncIterator[bytes]:
    """A body whose length is not told before."""
    for piece in body:
        yield piece
        await asyncio.sleep(pause_seconds)


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


BODIES = {
    "of a form": ("POST", "/v1/admission", MOST_ADMISSION_BYTES),
    "of a contact": ("PATCH", "/v1/organizations/acme/members/ann/contact", MOST_BYTES),
    "of a command": ("PUT", "/v1/organizations/acme/plan", MOST_BYTES),
}


@pytest.mark.parametrize(("method", "path", "most"), BODIES.values(), ids=BODIES)
async def test_a_body_that_grows_too_large_is_told_so(
    http: httpx.AsyncClient, method: str, path: str, most: int
) -> None:
    answer = await http.request(method, path, content=pieces(b" " * most, b" "))
    assert problem(answer) == (413, "too_large")


@pytest.mark.parametrize(("method", "path", "most"), BODIES.values(), ids=BODIES)
async def test_a_body_that_comes_too_slowly_is_told_so(
    guard: Guard, http: httpx.AsyncClient, method: str, path: str, most: int
) -> None:
    guard._body_seconds = 0.05
    answer = await http.request(method, path, content=pieces(b"{", b"}", pause_seconds=0.2))
    assert problem(answer) == (408, "too_slow")


async def test_as_many_questions_as_may_be_asked_fit_whoever_is_asked_about(http: httpx.AsyncClient) -> None:
    asked = [{"org_id": "o" * 128, "user_id": f"{number:0128}"} for number in range(MOST_QUERIES)]
    answer = await http.post("/v1/admission", json={"queries": asked})
    assert answer.status_code == 200, answer.text[:200]
    assert len(answer.json()["answers"]) == MOST_QUERIES


async def test_a_bug_of_ours_is_a_problem_that_names_the_request(
    gate: Gate, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(gate.copy, "size", broken)
    answer = await http.get("/metrics", headers={"x-request-id": "r-1"})
    assert problem(answer) == (500, "internal_error")
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "r-1"


@pytest.mark.parametrize(
    ("month", "status"),
    [
        ("2026-05", 200),
        ("1000-01", 200),
        ("2999-12", 200),
        ("0000-01", 422),
        ("9999-12", 422),
        ("٢٠٢٦-05", 422),
        ("2026-13", 422),
    ],
)
async def test_a_month_is_one_of_the_calendar(gate: Gate, http: httpx.AsyncClient, month: str, status: int) -> None:
    async def nothing(*_: Any, **__: Any) -> list[Any]:
        return []

    gate.history.rows = nothing  # type: ignore[method-assign]
    assert (await http.get(SPEND, params={"month": month})).status_code == status


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.html")))
async def test_our_policy_holds_for_our_html_wherever_it_is_asked_for(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(f"/page/{name}")
    assert (answer.headers["content-security-policy"], answer.headers["x-frame-options"]) == (POLICY, "DENY")
