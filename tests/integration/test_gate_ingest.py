"""Usage over HTTP: every form of an event, what is refused, and that what was taken lies in Kafka.

The cases of tests/data/cloudevents_cases.json hold, except that what is no event of ours is refused (R14a, R17).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.demo.reading import read_topics
from pipeline.topics import USAGE_EVENTS
from schemas.dead_letters import MAX_RECORD_BYTES
from tests.support.builders import cloud_event
from tests.support.gate_world import PRODUCT, GateWorld, usage

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

CASES = json.loads((Path(__file__).parents[1] / "data" / "cloudevents_cases.json").read_text())


async def post(
    gate: GateWorld, body: Any, media_type: str = "application/json", query: str = "", **headers: str
) -> Any:
    given = gate.headers(*PRODUCT) | {"content-type": media_type} | headers
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await gate.http.post(f"/v1/events{query}", content=content, headers=given)


async def ids_in_kafka(gate: GateWorld, beginning: str) -> list[str]:
    found = []
    for record in (await read_topics(gate.settings, [USAGE_EVENTS]))[USAGE_EVENTS.name]:
        wire = json.loads(record.value)
        events = wire if isinstance(wire, list) else [wire]
        found += [event.get("event_id") or event["id"] for event in events]
    return sorted(name for name in found if name.startswith(beginning))


def as_cloud_event(event_id: str, **change: Any) -> dict[str, Any]:
    return cloud_event(usage(event_id, "initech", 1, "im", source="chat")) | change


async def test_every_form_of_an_event_is_taken_and_lies_in_kafka(gate: GateWorld) -> None:
    bare = usage("form-1", "initech", 1, "im")
    answers = [
        await post(gate, bare),
        await post(gate, [usage("form-2", "initech", 1, "im"), usage("form-3", "globex", 1)]),
        await post(gate, as_cloud_event("form-4")),
    ]
    for number, media_type in enumerate(CASES["structured_types"]):
        answers.append(await post(gate, as_cloud_event(f"form-5{number}"), media_type))
    for number, media_type in enumerate(CASES["batch_types"]):
        answers.append(await post(gate, [as_cloud_event(f"form-6{number}")], media_type))
    for number, media_type in enumerate(CASES["binary_types"]):
        event = as_cloud_event(f"form-7{number}")
        attributes = {f"ce-{name}": event[name] for name in ("specversion", "id", "source", "type", "time")}
        answers.append(await post(gate, event["data"], media_type, **attributes))
    for number, case in enumerate(CASES["good_changes"]):
        answers.append(await post(gate, as_cloud_event(f"form-8{number}", **case["change"])))
    assert [answer.status_code for answer in answers] == [202] * len(answers), [a.text for a in answers]
    assert len(await ids_in_kafka(gate, "form-")) == len(answers) + 1


@pytest.mark.parametrize("case", CASES["bad_changes"], ids=lambda case: case["name"])
async def test_what_is_no_usage_event_is_refused(gate: GateWorld, case: dict[str, Any]) -> None:
    answer = await post(gate, as_cloud_event("bad-1", **case["change"]), "application/cloudevents+json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_events")
    assert [problem["index"] for problem in answer.json()["problems"]] == [0]


async def test_good_ones_are_taken_beside_bad_ones_unless_atomic(gate: GateWorld) -> None:
    late = usage("mixed-3", "initech", 1, "im", occurred_at="2020-01-01T00:00:00Z")
    ahead = usage("mixed-4", "initech", 1, "im", occurred_at="2999-01-01T00:00:00Z")
    mixed = [usage("mixed-1", "initech", 1, "im"), {"event_id": "x"}, late, ahead, usage("mixed-2", "initech", 1, "im")]
    none = await post(gate, mixed, query="?atomic=true")
    assert (none.status_code, none.json()["taken"]) == (400, 0)
    assert await ids_in_kafka(gate, "mixed-") == []
    some = (await post(gate, mixed)).json()
    assert (some["taken"], [(p["index"], p["code"]) for p in some["problems"]]) == (
        2,
        [(1, "invalid"), (2, "too_old"), (3, "in_the_future")],
    )
    assert await ids_in_kafka(gate, "mixed-") == ["mixed-1", "mixed-2"]


async def test_an_empty_batch_is_a_batch(gate: GateWorld) -> None:
    answer = await post(gate, [], "application/cloudevents-batch+json")
    assert (answer.status_code, answer.json()) == (202, {"taken": 0, "problems": []})


async def test_bounds_of_size_hold(gate: GateWorld) -> None:
    assert (await post(gate, [0] * 10_000)).status_code == 400
    assert (await post(gate, [0] * 10_001)).status_code == 413
    assert (await post(gate, b" " * 5_000_001)).status_code == 413
    assert (await post(gate, b"x", "application/xml")).status_code == 415
    assert (await post(gate, b"[{", "application/json")).status_code == 400


async def test_ten_thousand_events_are_taken_at_once(gate: GateWorld) -> None:
    many = [usage(f"many-{number}", "initech", 0, "im", input_tokens=1) for number in range(10_000)]
    assert (await post(gate, many)).json() == {"taken": 10_000, "problems": []}
    assert len(await ids_in_kafka(gate, "many-")) == 10_000


async def test_the_longest_event_that_is_taken_is_none_too_long_for_the_ledger(gate: GateWorld) -> None:
    padding = MAX_RECORD_BYTES - len(json.dumps(as_cloud_event("long-1", note="")))
    longest, other = as_cloud_event("long-1", note="x" * padding), as_cloud_event("long-2")
    assert (await post(gate, [longest, other])).json() == {"taken": 2, "problems": []}
    assert await ids_in_kafka(gate, "long-") == ["long-1", "long-2"]
    lie = (await read_topics(gate.settings, [USAGE_EVENTS]))[USAGE_EVENTS.name]
    assert max(len(record.value) for record in lie) == MAX_RECORD_BYTES
