"""A request is followed by its ids: over HTTP, in the gate's log, in the ledger's, in ClickHouse."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.gate_world import GateWorld

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

LIMIT = "/v1/organizations/acme/members/adam/spend-limit"


def lines(gate: GateWorld, process: str) -> list[dict[str, Any]]:
    """The log of a process, line by line, without what Faust draws for people."""
    text = (gate.settings.data_dir / f"{process}.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def test_a_command_is_followed_from_http_to_the_ledger_to_clickhouse(gate: GateWorld) -> None:
    ours = {"headers": {"x-request-id": "follow-me"}}
    answer = await gate.call("PUT", LIMIT, {"limit_usd": "77.00"}, of="olga", **ours)
    assert answer.headers["x-request-id"] == "follow-me"
    command_id, org_seq = answer.json()["command_id"], answer.json()["org_seq"]

    (said,) = [line for line in lines(gate, "gate") if line.get("request_id") == "follow-me"]
    assert {name: said[name] for name in ("message", "command_id", "command", "actor", "answer", "org_seq")} == {
        "message": "command answered",
        "command_id": command_id,
        "command": "set_user_limit",
        "actor": "user:olga",
        "answer": "applied",
        "org_seq": org_seq,
    }
    (decided,) = [line for line in lines(gate, "ledger") if line.get("command_id") == command_id]
    assert (decided["message"], decided["org_id"]) == ("command applied", "acme")

    async with asyncio.timeout(30):
        while not (found := await rows(gate, command_id)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert [(row["org_seq"], row["actor_id"]) for row in found] == [(org_seq, "olga")]


async def rows(gate: GateWorld, command_id: str) -> list[dict[str, Any]]:
    """Of the audit log in ClickHouse."""
    audit_log = await gate.done("GET", "/v1/organizations/acme/audit-log?limit=1000", of="olga")
    return [row for row in audit_log["rows"] if row["command_id"] == command_id]


async def test_a_refusal_is_found_by_the_ids_that_its_answer_names(gate: GateWorld) -> None:
    answer = (await gate.call("PUT", LIMIT, {"limit_usd": "1.00"}, of="adam")).json()
    assert answer["code"] == "not_allowed"
    (said,) = [line for line in lines(gate, "gate") if line.get("request_id") == answer["request_id"]]
    assert (said["command_id"], said["answer"], said["reason"]) == (answer["command_id"], "refused", "not_allowed")


async def test_no_token_is_in_a_log(gate: GateWorld) -> None:
    await gate.call("PUT", LIMIT, {"limit_usd": "1.00"}, of="adam")
    for process in ("gate", "ledger", "sink"):
        text = (gate.settings.data_dir / f"{process}.log").read_text()
        assert not [token for token in gate.tokens.values() if token in text or token.rpartition(".")[2] in text]
