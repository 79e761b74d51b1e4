"""The two forms in which usage comes, and what is said of an object that is neither (R11, R14a)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.base import Identifier, is_identifier
from schemas.usage import InvalidEvent, cloud_event, read_event
from tests.support.bad_input import GOOD_CLOUD_EVENT
from tests.support.builders import event, micros


def problems(wire: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidEvent) as refused:
        read_event(wire)
    return [(where, kind) for where, kind, _ in refused.value.problems]


def test_a_bare_event_needs_seven_fields_and_the_rest_is_nothing_used() -> None:
    found = read_event(event())
    assert (found.source, found.processing, found.speed, found.inference_geo) == ("", "standard", "standard", "")
    assert (found.input_tokens, found.output_tokens, found.web_search_requests) == (0, 0, 0)
    assert (found.cache_read_tokens, found.cache_write_5m_tokens, found.cache_write_1h_tokens) == (0, 0, 0)
    assert found.corrects is None


def test_a_cloud_event_gives_id_source_and_time_and_the_rest_is_data() -> None:
    found = read_event(GOOD_CLOUD_EVENT)
    assert (found.event_id, found.source) == ("e-1", "chat/eu")
    assert found.occurred_at_micros == micros("2026-05-10T12:00:00Z")
    assert found == read_event(event(source="chat/eu"))


@pytest.mark.parametrize("geo", [None, "", "not_available", "global"])
def test_these_places_take_no_factor_and_are_the_same(geo: str | None) -> None:
    assert read_event(event(inference_geo=geo)) == read_event(event())


@pytest.mark.parametrize("geo", ["us", "GLOBAL", "None", "Not_Available"])
def test_any_other_place_is_kept_for_the_price_book_to_judge(geo: str) -> None:
    assert read_event(event(inference_geo=geo)).inference_geo == geo


@pytest.mark.parametrize("name", ["processing", "speed"])
def test_null_is_standard(name: str) -> None:
    assert getattr(read_event(event(**{name: None})), name) == "standard"


@pytest.mark.parametrize("name", ["input_tokens", "source", "funding", "user_id"])
def test_null_elsewhere_is_no_default(name: str) -> None:
    assert [where for where, _ in problems(event(**{name: None}))] == [name]


def test_every_problem_is_named_at_once() -> None:
    wire = event(input_tokens=-1, output_tokens=100_000_001, tokens=5, user_id="")
    del wire["model"]
    assert sorted(problems(wire)) == [
        ("input_tokens", "greater_than_equal"),
        ("model", "missing"),
        ("output_tokens", "less_than_equal"),
        ("tokens", "extra_forbidden"),
        ("user_id", "string_pattern_mismatch"),
    ]


def test_problems_of_an_envelope_name_its_attributes() -> None:
    wire = {"specversion": "0.3", "type": "other", "data": {"event_id": "e-1"}}
    assert [where for where, _ in problems(wire)] == ["specversion", "type", "data.event_id", "id", "source", "time"]


def test_a_problem_never_quotes_what_was_sent() -> None:
    with pytest.raises(InvalidEvent) as refused:
        read_event(event(user_id="a secret", input_tokens="a secret"))
    assert "a secret" not in str(refused.value)


def test_an_event_is_written_as_a_cloud_event_and_read_back() -> None:
    found = read_event(
        event(source="s", input_tokens=5, processing="batch", occurred_at="2026-05-10T12:00:00.000001+02:00")
    )
    wire = cloud_event(found)
    assert wire["time"] == "2026-05-10T10:00:00.000001Z"
    assert set(wire["data"]) == {"org_id", "user_id", "product", "model", "funding", "input_tokens", "processing"}
    assert read_event(json.loads(json.dumps(wire))) == found


@given(st.text(max_size=3) | st.text(st.characters(min_codepoint=32, max_codepoint=127), max_size=130))
def test_the_quick_look_at_an_identifier_says_what_its_pattern_says(text: str) -> None:
    try:
        TypeAdapter(Identifier).validate_python(text)
        fits = True
    except ValidationError:
        fits = False
    assert is_identifier(text) is fits
