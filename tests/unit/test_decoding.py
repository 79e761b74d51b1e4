"""Bytes of a record in, its events out, or the reason why it has none (R14a, R17)."""

import json
from typing import Any

import pytest

from pipeline.agents.decoding import BadEvent, decode_event, decode_record, identity_key, payload_digest, raw_event
from pipeline.domain.compiled import Usage
from schemas.dead_letters import MAX_RECORD_BYTES, Reason
from tests.support.bad_input import GOOD, GOOD_CLOUD_EVENT, NOT_JSON, UNREADABLE, Bad, with_field
from tests.support.builders import as_json, cloud_event, event, micros


def usage(wire: object) -> Usage:
    found = decode_event(wire if isinstance(wire, bytes) else as_json(wire))
    assert not isinstance(found, BadEvent), found
    return found


def bad(value: bytes | None) -> BadEvent:
    (found,) = decode_record(value)
    assert isinstance(found, BadEvent)
    return found


@pytest.mark.parametrize("case", [*NOT_JSON, *UNREADABLE], ids=lambda case: case.name)
def test_what_is_no_event_is_refused_for_its_reason(case: Bad) -> None:
    found = bad(case.raw)
    assert found.reason is case.reason
    assert found.raw == case.raw
    assert found.detail


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: case.name)
def test_in_an_array_it_costs_no_event_beside_it(case: Bad) -> None:
    record = b"[" + GOOD + b" ,\n" + case.raw + b", " + GOOD + b"]"
    before, found, after = decode_record(record)
    assert not isinstance(before, BadEvent)
    assert isinstance(found, BadEvent)
    assert (found.reason, found.raw) == (case.reason, case.raw)
    assert not isinstance(after, BadEvent)
    assert [raw_event(record, index) for index in range(3)] == [GOOD, case.raw, GOOD]


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_bytes_is_malformed(value: bytes | None) -> None:
    assert bad(value).reason is Reason.MALFORMED


@pytest.mark.parametrize("value", [b"[]", b" [ ] ", b"\n[\n]\n"])
def test_an_array_without_events_is_malformed(value: bytes) -> None:
    assert bad(value).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "value",
    [
        b"[",
        b"[" + GOOD,
        b"[" + GOOD + b",",
        b"[" + GOOD + b"," + GOOD[:-1],
        b"[" + GOOD + b"," + GOOD[:-1] + b"]",
        b"[" + GOOD + b"]]",
        b"[" + GOOD + b'] "and more"',
        b'["' + b'\\"' * 100_000,
        b"[" * 100_000,
    ],
)
def test_an_array_that_is_cut_off_or_runs_on_is_malformed_as_a_whole(value: bytes) -> None:
    assert bad(value).reason is Reason.MALFORMED


def test_items_are_cut_at_commas_between_them_and_nowhere_else() -> None:
    tricky = with_field("source", r'"a,{[\"]}\\"')
    record = b"[" + tricky + b"," + with_field("input_tokens", "NaN") + b"," + tricky + b"]"
    first, nan, last = decode_record(record)
    assert not isinstance(first, BadEvent)
    assert first.source == 'a,{["]}\\'
    assert isinstance(nan, BadEvent)
    assert not isinstance(last, BadEvent)
    assert [raw_event(record, 0), raw_event(record, 2)] == [tricky, tricky]


def test_a_record_may_have_a_million_bytes() -> None:
    padded = GOOD.ljust(MAX_RECORD_BYTES)
    assert len(padded) == 1_000_000
    assert not isinstance(decode_event(padded), BadEvent)
    assert [type(found) for found in decode_record(padded)] == [Usage]


def test_a_record_of_a_million_and_one_bytes_is_too_large() -> None:
    assert bad(GOOD.ljust(MAX_RECORD_BYTES + 1)).reason is Reason.TOO_LARGE


def test_an_array_may_have_ten_thousand_events() -> None:
    assert len(decode_record(b"[" + b",".join([b"1"] * 10_000) + b"]")) == 10_000


@pytest.mark.parametrize("one_is_malformed", [False, True])
def test_an_array_of_ten_thousand_and_one_is_too_large(one_is_malformed: bool) -> None:
    items = [b"1"] * 10_000 + [b"NaN" if one_is_malformed else b"1"]
    assert bad(b"[" + b",".join(items) + b"]").reason is Reason.TOO_LARGE


def test_what_can_be_read_of_a_bad_event_is_kept() -> None:
    found = bad(with_field("input_tokens", "-5"))
    assert found.wire["org_id"] == "acme"
    assert found.wire["input_tokens"] == -5


def test_every_field_has_its_value() -> None:
    found = usage(
        event(
            "e-9",
            source="chat/eu",
            occurred_at="2026-05-10T14:00:00.5+02:00",
            funding="included",
            input_tokens=100_000_000,
            output_tokens=2,
            cache_read_tokens=3,
            cache_write_5m_tokens=4,
            cache_write_1h_tokens=5,
            web_search_requests=100_000,
            processing="batch",
            speed="fast",
            inference_geo="us",
        )
    )
    assert found.occurred_at_micros == micros("2026-05-10T12:00:00.5Z")
    assert (found.org_id, found.user_id, found.event_id, found.source) == ("acme", "ann", "e-9", "chat/eu")
    assert (found.product, found.model, found.funding) == ("chat", "claude-sonnet-4-6", "included")
    assert (found.input_tokens, found.output_tokens, found.cache_read_tokens) == (100_000_000, 2, 3)
    assert (found.cache_write_5m_tokens, found.cache_write_1h_tokens, found.web_search_requests) == (4, 5, 100_000)
    assert (found.processing, found.speed, found.inference_geo) == ("batch", "fast", "us")


def test_identifiers_have_up_to_128_printable_ascii_characters() -> None:
    longest = "!" + "~" * 127
    assert usage(event(longest, user_id=longest)).event_id == longest


SAME = [
    ("again", GOOD),
    ("keys in another order", as_json(dict(reversed(event().items())))),
    ("with blanks", json.dumps(event(), indent=4).encode()),
    ("with escapes", GOOD.replace(b"acme", rb"\u0061cme").replace(b"event_id", rb"\u0065vent_id")),
    ("no source, said", as_json(event(source=""))),
    ("standard processing, said", as_json(event(processing="standard"))),
    ("standard speed, said", as_json(event(speed="standard"))),
    ("nulls", as_json(event(processing=None, speed=None, inference_geo=None, corrects=None))),
    ("a global geo", as_json(event(inference_geo="global"))),
    ("a geo not available", as_json(event(inference_geo="not_available"))),
    ("an empty geo", as_json(event(inference_geo=""))),
    ("zeros, said", as_json(event(input_tokens=0, cache_read_tokens=0, web_search_requests=0))),
    ("another offset", as_json(event(occurred_at="2026-05-10T21:00:00+09:00"))),
    ("decimals that say nothing", as_json(event(occurred_at="2026-05-10T12:00:00.000000Z"))),
    ("small letters", as_json(event(occurred_at="2026-05-10t12:00:00z"))),
    ("a field twice, the last one counts", GOOD[:-1] + b', "input_tokens": 7, "input_tokens": 0}'),
]


@pytest.mark.parametrize(("name", "raw"), SAME, ids=[name for name, _ in SAME])
@pytest.mark.parametrize("first", [True, False], ids=["seen first", "seen later"])
def test_the_same_event_written_differently_is_the_same_payload(name: str, raw: bytes, first: bool) -> None:
    if not first:
        usage(GOOD)
    assert payload_digest(usage(raw)) == payload_digest(usage(GOOD))
    assert identity_key(usage(raw)) == identity_key(usage(GOOD))


SAME_ENVELOPES: list[dict[str, Any]] = [
    {},
    {"datacontenttype": "application/json"},
    {"datacontenttype": "application/json; charset=utf-8"},
    {"subject": "acme", "dataschema": "https://example.org/usage", "traceparent": "00-1-2-03"},
    {"ext": {"nested": [1, None, 1.5, "ü"]}, "number": 10**40},
    {"time": "2026-05-10T14:00:00+02:00"},
]


@pytest.mark.parametrize("attributes", SAME_ENVELOPES)
def test_an_envelope_and_its_extensions_are_no_part_of_the_payload(attributes: dict[str, Any]) -> None:
    bare = usage(event(source="chat/eu"))
    enveloped = usage(GOOD_CLOUD_EVENT | attributes)
    assert payload_digest(enveloped) == payload_digest(bare)
    assert identity_key(enveloped) == identity_key(bare)
    assert payload_digest(usage(dict(reversed((GOOD_CLOUD_EVENT | attributes).items())))) == payload_digest(bare)


def test_an_envelopes_mark_may_be_written_with_escapes() -> None:
    raw = as_json(GOOD_CLOUD_EVENT).replace(b'"specversion"', rb'"spec\u0076ersion"')
    assert payload_digest(usage(raw)) == payload_digest(usage(event(source="chat/eu")))


def test_specversion_as_a_value_makes_no_envelope() -> None:
    assert usage(event("specversion", product="specversion")).event_id == "specversion"


OTHER = {
    "user_id": "bob",
    "product": "cowork",
    "model": "claude-sonnet-4-5",
    "occurred_at": "2026-05-10T12:00:00.000001Z",
    "funding": "included",
    "input_tokens": 1,
    "output_tokens": 1,
    "cache_read_tokens": 1,
    "cache_write_5m_tokens": 1,
    "cache_write_1h_tokens": 1,
    "web_search_requests": 1,
    "processing": "batch",
    "speed": "fast",
    "inference_geo": "us",
}


def test_another_value_of_any_billing_field_is_another_payload() -> None:
    digests = {payload_digest(usage(event(**{name: value}))) for name, value in OTHER.items()}
    assert len(digests | {payload_digest(usage(event()))}) == len(OTHER) + 1
    assert {identity_key(usage(event(**{name: value}))) for name, value in OTHER.items()} == {
        identity_key(usage(event()))
    }


@pytest.mark.parametrize(
    "wire",
    [
        event("e-2"),
        event("E-1"),
        event(org_id="acme2"),
        event(source="chat"),
        event("1", source="e-"),
        event("e-1", org_id="acm", source="e"),
    ],
)
def test_another_id_source_or_organisation_is_another_identity(wire: dict[str, Any]) -> None:
    assert identity_key(usage(wire)) != identity_key(usage(event()))


def test_an_empty_identifier_is_refused_also_after_events_without_source_and_geo() -> None:
    usage(event(source="", inference_geo=""))
    for name in ("org_id", "user_id", "event_id", "product", "model", "processing", "speed"):
        assert bad(as_json(event(**{name: ""}))).reason is Reason.INVALID


def test_a_retry_of_a_cloud_event_as_a_bare_event_is_the_same() -> None:
    bare = event(source="s", processing="standard", speed=None, inference_geo="us", output_tokens=7)
    assert payload_digest(usage(cloud_event(bare))) == payload_digest(usage(bare))
