"""The quick way to an admission says what its route says, to everybody, of everything, header by header."""

import time
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from pipeline.gate.app import gate_api
from pipeline.gate.callers import dev_secret, dev_token
from pipeline.gate.guard import Guard
from pipeline.gate.parts import Gate, gate_parts
from pipeline.gate.quick_admission import QuickAdmission
from pipeline.settings import Settings
from schemas.instants import format_instant
from schemas.status import MemberStatus, OrganizationStatus, StatusRecord, TierStatus

NOW_MICROS = time.time_ns() // 1_000
MONTH = format_instant(NOW_MICROS)[:7]
SPENT = {"month": MONTH, "spend_picousd": 5 * 10**12, "org_seq": 1}
RECORDS: list[StatusRecord] = [
    OrganizationStatus(org_id="acme", plan="enterprise", credits_enabled=True, **SPENT),
    TierStatus(org_id="acme", seat_tier="premium", limit_picousd=7 * 10**12, **SPENT),
    MemberStatus(org_id="acme", user_id="ann", **SPENT),
    MemberStatus(org_id="acme", user_id="bob", limit_picousd=5 * 10**12, **SPENT),
    MemberStatus(org_id="acme", user_id="cem", seat_tier="premium", **SPENT),
]

PATHS = [
    *(f"/v1/organizations/acme/members/{user_id}/admission" for user_id in ("ann", "bob", "cem", "nobody", "a%6En")),
    "/v1/organizations/nowhere/members/ann/admission?as_of=never",
    "/v1/organizations/acme/members/a%20n/admission",
    "/v1/organizations/acme/members/a%2Fn/admission",
    "/v1/organizations/acme/members/%C3%A4/admission",
    f"/v1/organizations/acme/members/{'a' * 129}/admission",
    "/v1/organizations/acme/members//admission",
    "/v1/organizations/acme/members/ann/admission/",
]
CALLERS = {
    "a product": "Bearer {chat admission:read}",
    "a product with more": "Bearer {chat usage:write admission:read}",
    "a product, in small letters": "bearer {chat admission:read}",
    "a product without the scope": "Bearer {chat usage:write}",
    "an owner": "Bearer {ann}",
    "somebody unknown": "Bearer not.a.token",
    "nobody": "",
    "half a header": "Bearer",
}
MAY_ASK = {"a product", "a product with more", "a product, in small letters", "an owner"}


class NotQuick(QuickAdmission):
    """Leaves everything to the routes."""

    def answer(self, _: Any) -> None:
        return None


async def no_routes(*_: Any) -> None:
    raise AssertionError("the routes were asked")


@pytest.fixture(scope="module")
def routes() -> FastAPI:
    """Made once: it takes a second."""
    return gate_api()


@pytest.fixture
def gate(tmp_path: Path, routes: FastAPI) -> Gate:
    made = gate_parts(Settings(data_dir=tmp_path, gate_dev_tokens=True, gate_service_requests_per_second=1_000))
    for record in RECORDS:
        made.copy.take(0, record.key(), record.value())
    made.copy.is_whole = True
    made.copy.clocks = {0: made.now_micros()}
    routes.state.gate = made
    return made


def authorization(gate: Gate, caller: str) -> dict[str, str]:
    """The header, if there is one; `{sub scope …}` in it is a token."""
    before, _, claims = CALLERS[caller].partition("{")
    if claims:
        sub, *scopes = claims.rstrip("}").split()
        before += dev_token(dev_secret(gate.settings.data_dir), sub, tuple(scopes), gate.settings.gate_audience, 60)
    return {"authorization": before} if before else {}


async def said(app: Any, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gate") as http:
        answer = await http.request(method, path, headers=headers | {"x-request-id": "r-1"})
    return answer.status_code, dict(answer.headers), answer.content


async def both_say(
    routes: FastAPI, gate: Gate, caller: str, method: str, path: str
) -> tuple[int, dict[str, str], bytes]:
    """What both ways say, which is the same."""
    headers = authorization(gate, caller)
    slowly = await said(Guard(routes, NotQuick(gate)), method, path, headers)  # first, so that the token is known
    assert await said(Guard(routes, QuickAdmission(gate)), method, path, headers) == slowly
    return slowly


@pytest.mark.parametrize(("caller", "method"), list(product(CALLERS, ("GET", "HEAD", "POST", "DELETE"))))
async def test_both_ways_say_the_same(routes: FastAPI, gate: Gate, caller: str, method: str) -> None:
    statuses = {(await both_say(routes, gate, caller, method, path))[0] for path in PATHS}
    assert (200 in statuses) == (method in ("GET", "POST") and caller in MAY_ASK)


@pytest.mark.parametrize("path", PATHS[:6])
async def test_a_product_that_is_known_is_answered_without_the_routes(routes: FastAPI, gate: Gate, path: str) -> None:
    headers = authorization(gate, "a product")
    slowly = await said(Guard(routes, NotQuick(gate)), "GET", path, headers)
    assert slowly[0] == 200
    assert await said(Guard(no_routes, QuickAdmission(gate)), "GET", path, headers) == slowly


@pytest.mark.parametrize(("is_whole", "as_of_seconds"), [(True, -61), (True, 121), (False, 0)])
async def test_what_is_too_old_or_ahead_of_our_clock_or_not_whole_cannot_tell(
    routes: FastAPI, gate: Gate, is_whole: bool, as_of_seconds: int
) -> None:
    gate.copy.is_whole = is_whole
    gate.copy.clocks = {0: gate.now_micros() + as_of_seconds * 1_000_000}
    status, headers, body = await both_say(routes, gate, "a product", "GET", PATHS[0])
    assert (status, headers["retry-after"]) == (503, "2")
    assert b'"cannot_tell"' in body


async def test_who_asks_too_often_is_told_so(routes: FastAPI, gate: Gate) -> None:
    gate.settings = gate.settings.model_copy(update={"gate_service_requests_per_second": 1})
    quick = Guard(routes, QuickAdmission(gate))
    headers = authorization(gate, "a product")
    statuses = [(await said(quick, "GET", PATHS[0], headers))[0] for _ in range(3)]
    assert statuses == [200, 429, 429]
    status, headers, body = await both_say(routes, gate, "a product", "GET", PATHS[0])
    assert (status, headers["retry-after"]) == (429, "1")
    assert b'"too_many_requests"' in body


async def test_a_token_that_has_ended_is_known_no_longer(routes: FastAPI, gate: Gate) -> None:
    token = authorization(gate, "a product")["authorization"].removeprefix("Bearer ")
    assert gate.callers.known(token, gate.now()) is None
    assert (await both_say(routes, gate, "a product", "GET", PATHS[0]))[0] == 200
    assert gate.callers.known(token, gate.now()) is not None
    assert gate.callers.known(token, gate.now() + 61) is None
