"""The quick way of decoding takes only what the models take, and to the same values (pipeline/domain/compiled.py)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.agents.decoding import BadEvent, compiled, decode_event, payload_digest
from pipeline.domain.compiled import Usage
from schemas.instants import format_instant, parse_instant
from schemas.usage import TOKEN_KINDS, InvalidEvent, UsageEvent, cloud_event, read_event
from tests.support.bad_input import ITEMS, Bad
from tests.support.builders import NOON, as_json, event
from tests.support.builders import cloud_event as envelope

FIELDS = [name for name in UsageEvent.model_fields if name != "corrects"]
COUNTS = [*(f"{kind}_tokens" for kind in TOKEN_KINDS), "web_search_requests"]
NAMES = [info.alias or name for name, info in UsageEvent.model_fields.items()]


def judged(raw: bytes) -> UsageEvent | None:
    """What the model makes of it; the JSON is read by the standard library, so that no decoder vouches for itself."""
    try:
        return read_event(json.loads(raw))
    except (InvalidEvent, ValueError, RecursionError, TypeError):
        return None


def agree(raw: bytes) -> None:
    """Twice, since texts seen before take a shorter way."""
    model = judged(raw)
    for _ in range(2):
        quick = decode_event(raw)
        if isinstance(quick, BadEvent):
            # NaN and lone surrogates are no JSON to us, though the standard library takes them for some.
            assert model is None or quick.reason == "malformed", quick.detail
            continue
        assert model is not None, f"decoded to {quick}, refused by the model"
        assert {name: getattr(quick, name) for name in FIELDS} == {name: getattr(model, name) for name in FIELDS}
        assert payload_digest(quick) == payload_digest(compiled(model))


# Texts that are, or nearly are, what a field wants.
IDENTIFIERS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128)
WEIRD_TEXTS = st.sampled_from(
    ["", " ", "a b", "a\n", "\x00", "\x7f", "ü", "１", "٣", "\ud800", "x" * 129, "null", "-"]
) | st.text(max_size=5)
INSTANTS = st.integers(parse_instant("2020-01-01T00:00:00Z"), parse_instant("2030-01-01T00:00:00Z")).map(format_instant)
NEAR_INSTANTS = st.builds(
    lambda text, at, char: text[:at] + char + text[at + 1 :],
    INSTANTS,
    st.integers(0, 27),
    st.sampled_from([*"0123456789:.-+TtZz ", "", "Z5", "+01:00", "-23:59", "１"]),
)
NUMBERS = (
    st.integers(0, 300)
    | st.sampled_from([99_999_999, 100_000_000, 100_000_001, 100_001, 2**53, 2**53 + 1, 2**63, 2**64, 10**25, -1])
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.booleans()
    | st.none()
    | st.sampled_from(["5", "0"])
)
ANYTHING = st.recursive(NUMBERS | WEIRD_TEXTS | IDENTIFIERS, lambda inner: st.lists(inner, max_size=2), max_leaves=4)

VALID: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.integers(0, 100_000) for name in COUNTS},
    "org_id": IDENTIFIERS | st.just("acme"),
    "user_id": IDENTIFIERS,
    "event_id": IDENTIFIERS,
    "product": IDENTIFIERS | st.just("chat"),
    "model": st.sampled_from(["claude-sonnet-4-6", "claude-opus-4-5"]) | IDENTIFIERS,
    "occurred_at": INSTANTS | INSTANTS.map(lambda text: text[:-1] + "+00:00"),
    "funding": st.sampled_from(["included", "credits"]),
    "processing": st.sampled_from(["standard", "batch", None]) | IDENTIFIERS,
    "speed": st.sampled_from(["standard", "fast", None]) | IDENTIFIERS,
    "inference_geo": st.sampled_from(["us", "global", "not_available", "", None]) | IDENTIFIERS,
    "source": st.sampled_from(["", "chat/eu"]) | IDENTIFIERS,
    "corrects": st.none(),
}
REQUIRED = ("org_id", "user_id", "event_id", "product", "model", "occurred_at", "funding")
NEARLY: dict[str, st.SearchStrategy[Any]] = {
    **{name: valid | WEIRD_TEXTS | ANYTHING for name, valid in VALID.items()},
    **dict.fromkeys(COUNTS, NUMBERS),
    "occurred_at": NEAR_INSTANTS | WEIRD_TEXTS | ANYTHING,
}


def objects(
    strategies: dict[str, st.SearchStrategy[Any]], required: tuple[str, ...]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {name: strategies[name] for name in required},
        optional={name: each for name, each in strategies.items() if name not in required},
    )


@st.composite
def nearly_valid(draw: st.DrawFn) -> dict[str, Any]:
    """A valid event of which one or two fields are replaced, dropped or added."""
    wire = draw(objects(VALID, REQUIRED))
    for name in draw(st.lists(st.sampled_from([*NAMES, "unknown", "occurred_at_micros"]), min_size=1, max_size=2)):
        if draw(st.booleans()):
            wire[name] = draw(NEARLY.get(name, ANYTHING))
        else:
            wire.pop(name, None)
    return wire


@st.composite
def written(draw: st.DrawFn, wires: st.SearchStrategy[dict[str, Any]]) -> bytes:
    """Its JSON: bare or enveloped, keys in any order, now and then one key twice, blanks and escapes as they come."""
    wire = draw(wires)
    if draw(st.booleans()):
        wire = envelope(wire, **draw(ATTRIBUTES))
    if draw(st.booleans()):
        wire = dict(draw(st.permutations(list(wire.items()))))
    text = json.dumps(wire, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    if draw(st.integers(0, 4)) == 0:
        name = draw(st.sampled_from(NAMES))
        text = text[:-1] + f", {json.dumps(name)}: {json.dumps(draw(NEARLY.get(name, ANYTHING)))}}}"
    return text.encode("utf-8", "surrogatepass")


ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "source": st.just("chat/eu") | WEIRD_TEXTS,
        "specversion": st.sampled_from(["1.0", "1.1", 1.0, None]),
        "type": st.sampled_from(["usage-credits.usage.v1", "usage-credits.usage.v2", None]),
        "datacontenttype": st.sampled_from(
            ["application/json", "application/json; charset=utf-8", "text/plain", "application/jsonp", None]
        ),
        "time": NEAR_INSTANTS,
        "subject": ANYTHING,
        "traceparent": ANYTHING,
    },
)


@given(written(objects(VALID, REQUIRED)))
@example(as_json(event(processing="standard")))
def test_on_valid_events(raw: bytes) -> None:
    agree(raw)


@given(written(nearly_valid()))
@example(as_json(event(occurred_at="2026-01-01T00:00:05Z5Z")))
@example(as_json(event(occurred_at=1778414400000000)))
@example(as_json(event(product="")))
def test_on_nearly_valid_events(raw: bytes) -> None:
    agree(raw)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | ANYTHING.map(as_json))
def test_on_what_is_no_event_at_all(raw: bytes) -> None:
    agree(raw)


@given(st.integers(0, 200), st.binary(max_size=3))
def test_on_events_with_bytes_cut_out_or_put_in(at: int, what: bytes) -> None:
    for raw in (as_json(event(input_tokens=5)), as_json(envelope(event(source="s"), ext="ü"))):
        agree(raw[:at] + what + raw[at + len(what) :])
        agree(raw[:at] + what + raw[at:])


@pytest.mark.parametrize("case", ITEMS, ids=lambda case: case.name)
def test_on_what_products_may_send_by_mistake(case: Bad) -> None:
    agree(case.raw)


@given(objects(VALID, REQUIRED), objects({name: VALID[name] for name in COUNTS}, ()))
def test_a_correction_keeps_both_of_its_halves(wire: dict[str, Any], counts: dict[str, int]) -> None:
    original = {name: value for name, value in wire.items() if name not in ("org_id", "event_id", "source", "corrects")}
    raw = as_json(wire | counts | {"event_id": "right", "corrects": {"event_id": "wrong", "original": original}})
    model = judged(raw)
    quick = decode_event(raw)
    assert model is not None
    assert model.corrects is not None
    assert not isinstance(quick, BadEvent)
    assert quick.corrects is not None
    assert quick.corrects.event_id == "wrong"
    for name in (*COUNTS, "model", "processing", "speed", "inference_geo"):
        assert getattr(quick.corrects.original, name) == getattr(model.corrects.original, name)


@given(objects(VALID | {"source": IDENTIFIERS}, (*REQUIRED, "source")))
def test_an_event_comes_back_from_its_cloud_event(wire: dict[str, Any]) -> None:
    model = read_event(wire)
    assert read_event(json.loads(json.dumps(cloud_event(model)))) == model


REAL_CALLS = Path(__file__).parents[1] / "data" / "pi_session_excerpt.jsonl"


@pytest.mark.parametrize("line", REAL_CALLS.read_text().splitlines())
def test_on_real_calls(line: str) -> None:
    call = json.loads(line)
    usage = call["usage"]
    wire = event(
        occurred_at=call["timestamp"],
        model=call["model"],
        input_tokens=usage["input"],
        output_tokens=usage["output"],
        cache_read_tokens=usage["cacheRead"],
        cache_write_5m_tokens=usage["cacheWrite"],
    )
    for raw in (as_json(wire), as_json(envelope(wire | {"source": "pi"}))):
        assert judged(raw) is not None
        agree(raw)


def test_the_struct_has_the_models_fields_and_defaults() -> None:
    plain = decode_event(as_json(event()))
    assert not isinstance(plain, BadEvent)
    assert set(Usage.__struct_encode_fields__) == {info.alias or name for name, info in UsageEvent.model_fields.items()}
    model = read_event(event())
    assert plain.occurred_at_micros == parse_instant(NOON)
    for name in FIELDS:
        assert getattr(plain, name) == getattr(model, name)
