"""The gate on a real Kafka with a real ledger: what is written over HTTP is read back over HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from client.admission import AskGate, AskGateSync, LocalCopy
from pipeline.embedded.ports import free_port
from tests.support.gate_world import BILLING, PRODUCT, GateWorld, usage

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

ACME = "/v1/organizations/acme"


@pytest.fixture
def world(gate: GateWorld) -> GateWorld:
    return gate


async def admission(world: GateWorld, user_id: str = "mia", org_id: str = "acme") -> Any:
    return await world.done("GET", f"/v1/organizations/{org_id}/members/{user_id}/admission", of=PRODUCT)


async def until(check: Callable[[], Any], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_limit_is_read_by_whoever_set_it_and_denies_at_once(world: GateWorld) -> None:
    limited = await world.done("PUT", f"{ACME}/members/adam/spend-limit", {"limit_usd": "0"}, of="olga")
    assert limited["after"]["limit_usd"] == "0.00"
    answer = await admission(world, "adam")
    assert (answer["allowed"], answer["reason"], answer["headroom_usd"]) == (False, "user_limit", "0.00")
    await world.done("PUT", f"{ACME}/members/adam/spend-limit", {"limit_usd": None}, of="olga")
    assert (await admission(world, "adam"))["allowed"] is True


async def test_usage_that_reaches_the_limit_denies_and_is_seen_in_the_member(world: GateWorld) -> None:
    await world.done("PUT", f"{ACME}/members/mia/spend-limit", {"limit_usd": "2.00"}, of="olga")
    taken = await world.done("POST", "/v1/events", [usage("u-1", "acme", 150), usage("u-2", "acme", 60)], of=PRODUCT)
    assert taken == {"taken": 2, "problems": []}

    async def is_denied() -> bool:
        return not (await admission(world))["allowed"]

    await until(is_denied)
    member = await world.done("GET", f"{ACME}/members/mia", of="mia")
    assert member["spend_usd"] == "2.10"
    limits = await world.done("GET", f"{ACME}/members/mia/limits", of="adam")
    assert [(limit["reason"], limit["binds"]) for limit in limits["limits"]] == [("user_limit", True)]


async def test_a_command_with_the_same_key_is_applied_once(world: GateWorld) -> None:
    key = {"headers": {"idempotency-key": "limit-1"}}
    first = await world.done("PUT", f"{ACME}/spend-limit", {"limit_usd": "500.00"}, of="olga", **key)
    again = await world.done("PUT", f"{ACME}/spend-limit", {"limit_usd": "500.00"}, of="olga", **key)
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert again | {"repeated": False} == first
    other = await world.call("PUT", f"{ACME}/spend-limit", {"limit_usd": "1.00"}, of="olga", **key)
    assert (other.status_code, other.json()["code"]) == (409, "command_id_reused")


async def test_refusals_are_problems_with_a_code(world: GateWorld) -> None:
    refused = await world.call("PUT", f"{ACME}/spend-limit", {"limit_usd": "1.00"}, of="mia")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert refused.headers["content-type"] == "application/problem+json"
    unknown = await world.call("PUT", f"{ACME}/members/nobody/role", {"role": "admin"}, of="olga")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_member")
    for body in ({"limit_usd": "1.001"}, {"limit_usd": 5}, {"limit_usd": "1.00", "org_id": "globex"}, {}):
        wrong = await world.call("PUT", f"{ACME}/spend-limit", body, of="olga")
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid"), body


async def test_whoever_is_unknown_is_denied(world: GateWorld) -> None:
    for org_id, user_id in (("acme", "nobody"), ("nowhere", "mia")):
        assert (await admission(world, user_id, org_id))["reason"] == "not_a_member"


async def test_clients_say_what_the_gate_says_while_usage_pours_in(world: GateWorld) -> None:
    settings, token = world.settings, world.token(*PRODUCT)
    url = str(world.http.base_url)
    await world.done("PUT", "/v1/organizations/globex/members/mia/spend-limit", {"limit_usd": "5.00"}, of="olga")
    topic = settings.topic_prefix + "credit-status"
    async with AskGate(url, token, timeout_seconds=10) as ask, LocalCopy(settings.kafka(), topic) as local:
        await local.follower.whole()
        answers = []
        for number in range(60):
            await world.done("POST", "/v1/events", usage(f"pour-{number}", "globex", 10), of=PRODUCT)
            gate, own = await ask.admission("globex", "mia"), local.admission("globex", "mia")
            assert gate.certain
            assert own.certain
            answers.append((gate, own))

        async def both_deny() -> bool:
            gate, own = await ask.admission("globex", "mia"), local.admission("globex", "mia")
            return not gate.allowed and gate[:4] == own[:4]

        await until(both_deny)
        everybody = [("globex", "mia"), ("globex", "adam"), ("acme", "olga"), ("acme", "x"), ("x", "x")]
        for org_id, user_id in everybody:
            assert (await ask.admission(org_id, user_id))[:4] == local.admission(org_id, user_id)[:4]
        # Both follow the same topic: neither ever allows again what it has denied.
        for side in (0, 1):
            allowed = [pair[side].allowed for pair in answers]
            assert allowed == sorted(allowed, reverse=True)
    with AskGateSync(url, token) as ask_sync:
        assert not (await asyncio.to_thread(ask_sync.admission, "globex", "mia")).allowed


async def test_clients_fail_closed_unless_told_otherwise() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with AskGate(nobody, "t") as closed, AskGate(nobody, "t", fail_open=True) as opened:
        assert (await closed.admission("acme", "mia"))[:2] == (False, ("cannot_tell",))
        assert (await opened.admission("acme", "mia"))[:2] == (True, ("cannot_tell",))
    assert not LocalCopy({}).admission("acme", "mia").allowed
    assert LocalCopy({}, fail_open=True).admission("acme", "mia").allowed


async def test_many_at_once_get_the_answers_of_each(world: GateWorld) -> None:
    queries = [{"org_id": "acme", "user_id": user_id} for user_id in ("olga", "mia", "nobody")]
    many = (await world.done("POST", "/v1/admission", {"queries": queries}, of=PRODUCT))["answers"]
    for query, answer in zip(queries, many, strict=True):
        one = await admission(world, query["user_id"])
        assert one | {"as_of": None} == answer | {"as_of": None}


async def test_members_are_paged_sorted_and_searched(world: GateWorld) -> None:
    for number in range(3):
        await world.done("PUT", f"{ACME}/members/zoe-{number}", {}, of="adam")
    path = f"{ACME}/members?search=ZOE&sort=-user_id&limit=2"
    page = await world.done("GET", path, of="adam")
    assert [member["user_id"] for member in page["members"]] == ["zoe-2", "zoe-1"]
    assert (page["total"], page["next_offset"]) == (3, 2)
    rest = await world.done("GET", f"{path}&offset=2", of="adam")
    assert [member["user_id"] for member in rest["members"]] == ["zoe-0"]
    assert rest["next_offset"] is None


async def test_what_was_is_read_from_clickhouse(world: GateWorld) -> None:
    async def is_in_the_audit_log() -> bool:
        rows = (await world.done("GET", f"{ACME}/audit-log?limit=1000", of="olga"))["rows"]
        return {"register_organization", "set_credits", "add_member"} <= {row["command"] for row in rows}

    await until(is_in_the_audit_log)
    one = (await world.done("GET", f"{ACME}/audit-log?limit=1", of="olga"))["rows"]
    two = (await world.done("GET", f"{ACME}/audit-log?limit=1&before={one[0]['org_seq']}", of=BILLING))["rows"]
    assert two[0]["org_seq"] < one[0]["org_seq"]
    for what in ("ledger", "invoices", "breaches", "credit-requests"):
        assert isinstance((await world.done("GET", f"{ACME}/{what}", of="olga"))["rows"], list)
