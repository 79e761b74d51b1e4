"""The importer: deliveries of a log in, one event per request out."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.importers.claude_code import CLAUDE_CODE
from pipeline.importers.importing import find, find_files
from pipeline.importers.people import INCLUDED_REQUESTS, PEOPLE, person_of
from pipeline.importers.readings import Told
from schemas.instants import parse_instant
from schemas.usage import Funding, UsageEvent, cloud_event, read_event
from tests.support.imports import imported

ANNA = Told(org_id="acme", user_id="anna")


def delivery(
    *,
    message_id: str = "msg_1",
    request_id: str | None = "req_1",
    at: str = "2026-02-10T10:00:00.000Z",
    session: str = "s-1",
    model: str = "claude-opus-4-6",
    **usage: object,
) -> dict[str, Any]:
    line: dict[str, Any] = {
        "type": "assistant",
        "timestamp": at,
        "sessionId": session,
        "message": {"id": message_id, "model": model, "usage": {"input_tokens": 1, "output_tokens": 1, **usage}},
    }
    return line if request_id is None else line | {"requestId": request_id}


def write(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def events(*paths: Path) -> list[UsageEvent]:
    return imported(CLAUDE_CODE, *paths, told=ANNA)


def only_event(path: Path, *lines: object) -> UsageEvent:
    (event,) = events(write(path / "log.jsonl", *lines))
    return event


def test_the_last_delivery_of_a_request_is_the_truth(tmp_path: Path) -> None:
    event = only_event(
        tmp_path,
        delivery(at="2026-02-10T10:00:00.000Z", output_tokens=10),
        delivery(at="2026-02-10T10:00:01.000Z", output_tokens=25),
        delivery(at="2026-02-10T10:00:02.500Z", output_tokens=311),
    )
    assert event.output_tokens == 311
    assert event.occurred_at_micros == parse_instant("2026-02-10T10:00:02.5Z")


def test_deliveries_in_two_files_are_ordered_by_time_not_by_file(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", delivery(at="2026-02-10T10:00:02Z", output_tokens=311))
    write(tmp_path / "b.jsonl", delivery(at="2026-02-10T10:00:01Z", output_tokens=25))
    assert [event.output_tokens for event in events(tmp_path)] == [311]


def test_a_request_is_message_id_with_request_id(tmp_path: Path) -> None:
    write(
        tmp_path / "log.jsonl",
        delivery(message_id="msg_1", request_id="req_1"),
        delivery(message_id="msg_1", request_id="req_2"),
        delivery(message_id="msg_2", request_id="req_1"),
    )
    assert {event.event_id for event in events(tmp_path)} == {"msg_1:req_1", "msg_1:req_2", "msg_2:req_1"}


def test_without_a_request_id_the_message_id_stands_alone(tmp_path: Path) -> None:
    assert only_event(tmp_path, delivery(request_id=None)).event_id == "msg_1:"


def test_ids_that_are_no_identifier_together_become_their_hash(tmp_path: Path) -> None:
    event_id = only_event(tmp_path, delivery(message_id="m" * 100, request_id="r" * 100)).event_id
    assert len(event_id) == 64
    assert set(event_id) <= set("0123456789abcdef")


def test_cache_writes_of_5_minutes_and_1_hour_stay_apart(tmp_path: Path) -> None:
    event = only_event(
        tmp_path,
        delivery(
            cache_creation_input_tokens=700,
            cache_creation={"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 400},
            cache_read_input_tokens=5_000,
        ),
    )
    assert (event.cache_write_5m_tokens, event.cache_write_1h_tokens) == (300, 400)
    assert event.cache_read_tokens == 5_000
    assert event.input_tokens == 1


def test_a_cache_write_of_unnamed_duration_is_the_default_one(tmp_path: Path) -> None:
    event = only_event(tmp_path, delivery(cache_creation_input_tokens=700))
    assert (event.cache_write_5m_tokens, event.cache_write_1h_tokens) == (700, 0)


@pytest.mark.parametrize("geo", ["", "not_available", "global", None])
def test_a_geography_that_takes_no_factor_is_none(tmp_path: Path, geo: str | None) -> None:
    event = only_event(tmp_path, delivery(inference_geo=geo))
    assert event.inference_geo == ""


def test_geography_tier_and_speed_are_kept(tmp_path: Path) -> None:
    us = only_event(tmp_path, delivery(inference_geo="us", service_tier="standard", speed="fast"))
    assert (us.inference_geo, us.processing, us.speed) == ("us", "standard", "fast")
    assert only_event(tmp_path, delivery(service_tier="batch")).processing == "batch"
    assert only_event(tmp_path, delivery(service_tier=None)).processing == "standard"


def test_web_searches_are_counted(tmp_path: Path) -> None:
    event = only_event(tmp_path, delivery(server_tool_use={"web_search_requests": 3, "web_fetch_requests": 9}))
    assert event.web_search_requests == 3


def test_the_model_stays_as_recorded(tmp_path: Path) -> None:
    assert only_event(tmp_path, delivery(model="claude-opus-4-6[1m]")).model == "claude-opus-4-6[1m]"


def test_what_claude_code_made_up_itself_was_no_request(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", delivery(model="<synthetic>"))
    assert events(tmp_path) == []


def test_lines_that_are_no_deliveries_are_skipped_and_counted(tmp_path: Path) -> None:
    write(
        tmp_path / "log.jsonl",
        {"type": "user", "message": {"content": "how much "}},
        '{"message": {"usage": {"input_tok\n',
        {"message": {"usage": {"input_tokens": 1}}},
        delivery(),
    )
    with find(CLAUDE_CODE, [tmp_path], ANNA) as found:
        assert (found.records, len(found)) == (1, 1)
    assert dict(found.skipped) == {"no delivery: JSONDecodeError": 1, "no delivery: KeyError": 1}


def test_a_request_that_cannot_be_an_event_is_skipped_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", delivery(input_tokens=-5), delivery(message_id="msg_2"))
    with find(CLAUDE_CODE, [tmp_path], ANNA) as found:
        assert [event.event_id for _, event in found.events()] == ["msg_2:req_1"]
    assert dict(found.skipped) == {"input_tokens: Input should be greater than or equal to 0": 1}


def test_events_come_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", delivery(message_id="late", at="2026-02-10T12:00:00Z"))
    write(tmp_path / "b.jsonl", delivery(message_id="early", at="2026-02-10T11:00:00Z"))
    assert [event.event_id for event in events(tmp_path)] == ["early:req_1", "late:req_1"]


def test_a_path_without_logs_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder with"):
        find_files(CLAUDE_CODE, [tmp_path])


def test_without_a_name_the_first_25_requests_of_a_session_are_included_in_the_seat(tmp_path: Path) -> None:
    def minute(number: int) -> dict[str, Any]:
        return delivery(message_id=f"msg_{number}", at=f"2026-02-10T10:{number:02d}:00Z")

    write(tmp_path / "log.jsonl", *(minute(number) for number in reversed(range(30))))
    funding = [event.funding for event in imported(CLAUDE_CODE, tmp_path)]
    assert funding == ["included"] * INCLUDED_REQUESTS + ["credits"] * 5


@pytest.mark.parametrize(("told", "funding"), [(None, "credits"), ("included", "included")])
def test_whose_logs_are_named_pays_for_all_unless_told_otherwise(
    tmp_path: Path, told: Funding | None, funding: str
) -> None:
    path = write(tmp_path / "log.jsonl", delivery(message_id="msg_1"), delivery(message_id="msg_2"))
    both = imported(CLAUDE_CODE, path, told=replace(ANNA, funding=told))
    assert [event.funding for event in both] == [funding] * 2


def test_without_a_name_the_rule_says_whose_a_session_is(tmp_path: Path) -> None:
    (event,) = imported(CLAUDE_CODE, write(tmp_path / "log.jsonl", delivery(session="s-7")))
    assert (event.org_id, event.user_id) == (person_of("s-7").org_id, person_of("s-7").user_id)


def test_the_rule_gives_a_session_to_the_member_its_hash_names() -> None:
    index = int(sha256(b"s-1").hexdigest()[:16], 16) % 9
    assert len(PEOPLE) == 9
    assert person_of("s-1") is PEOPLE[index]


def test_every_organization_has_one_primary_owner() -> None:
    owners = [person.org_id for person in PEOPLE if person.role == "primary_owner"]
    assert sorted(owners) == sorted({person.org_id for person in PEOPLE})


def test_an_imported_event_survives_the_wire(tmp_path: Path) -> None:
    event = only_event(tmp_path, delivery(service_tier="batch", inference_geo="us"))
    assert read_event(json.loads(json.dumps(cloud_event(event)))) == event


def test_the_example_logs_hold_882_requests_in_1782_deliveries() -> None:
    with find(CLAUDE_CODE, [Path(__file__).parents[2] / "examples" / "claude_code"], Told()) as found:
        assert len([*found.events()]) == 882
    assert (found.records, dict(found.skipped)) == (1_782, {})
