"""`usage-credits price`: NDJSON in, priced NDJSON and rejects with reasons out (R9-R17)."""

import io
import json
from typing import Any

import pytest

from pipeline.price_book import load_price_book
from pipeline.price_lines import write_priced
from schemas.dead_letters import Reason
from schemas.usage import UsageEvent, cloud_event

BOOK = load_price_book()
EVENT = {
    "org_id": "acme",
    "user_id": "ada",
    "event_id": "e-1",
    "product": "chat",
    "model": "claude-sonnet-4-5",
    "occurred_at": "2025-10-01T12:00:00Z",
    "funding": "credits",
    "input_tokens": 1_000,
    "output_tokens": 200,
}


def run(*lines: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    out, rejects = io.BytesIO(), io.BytesIO()
    summary = write_priced(lines, BOOK, out, rejects)
    priced, rejected = ([json.loads(line) for line in stream.getvalue().splitlines()] for stream in (out, rejects))
    assert (summary.priced, summary.rejected) == (len(priced), len(rejected))
    assert summary.cost_picousd == sum(int(row["cost_picousd"]) for row in priced)
    return priced, rejected


def line(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def test_a_line_comes_out_with_its_cost_in_parts_and_its_price_id() -> None:
    (row,), rejected = run(line())
    assert rejected == []
    assert {name: row[name] for name in EVENT} == EVENT
    assert row["price_id"] == "claude-sonnet-4-5@2025-09-29"
    assert row["input_picousd"] == str(1_000 * 3_000_000)
    assert row["output_picousd"] == str(200 * 15_000_000)
    assert row["web_search_picousd"] == "0"
    assert row["cost_picousd"] == "6000000000"
    assert row["cost_usd"] == "0.006"


def test_a_cloud_event_is_priced_as_its_bare_form_is() -> None:
    envelope = cloud_event(UsageEvent.model_validate({**EVENT, "source": "chat-eu"}))
    (bare, wrapped), rejected = run(line(source="chat-eu"), json.dumps(envelope).encode())
    assert rejected == []
    assert wrapped == bare


def test_a_line_may_be_an_array_of_events() -> None:
    priced, (reject,) = run(b"[" + line(event_id="1") + b"," + line(speed="slow") + b"," + line(event_id="3") + b"]")
    assert [row["event_id"] for row in priced] == ["1", "3"]
    assert (reject["line"], reject["reason"]) == (1, Reason.UNPRICED)


def test_a_correction_is_priced_by_its_own_counts() -> None:
    original = {name: EVENT[name] for name in EVENT if name not in ("org_id", "event_id")}
    (row,), rejected = run(line(event_id="e-2", input_tokens=1, corrects={"event_id": "e-1", "original": original}))
    assert rejected == []
    assert row["cost_picousd"] == str(3_000_000 + 200 * 15_000_000)
    assert row["corrects"] == {"event_id": "e-1", "original": original}


def test_no_event_is_too_old() -> None:
    (row,), _ = run(line(model="claude-2.1", occurred_at="2023-12-01T00:00:00+01:00"))
    assert row["price_id"] == "claude-2@2023-07-11"


def test_money_beyond_what_a_double_holds_stays_exact() -> None:
    (row,), _ = run(line(model="claude-opus-4-1", input_tokens=99_999_999, output_tokens=100_000_000))
    assert row["cost_picousd"] == str(99_999_999 * 15_000_000 + 100_000_000 * 75_000_000)
    assert row["cost_usd"] == "8999.999985"


@pytest.mark.parametrize(
    ("bad", "reason", "said"),
    [
        (b"{", Reason.MALFORMED, "not JSON"),
        (b"\xff\xfe", Reason.MALFORMED, "not JSON"),
        (b'{"a":' * 100_000, Reason.MALFORMED, ""),
        (line(input_tokens=float("nan")), Reason.MALFORMED, "not JSON"),
        (b"[]", Reason.MALFORMED, "without events"),
        (b"7", Reason.MALFORMED, "not an object"),
        (line(product="x" * 1_000_001), Reason.TOO_LARGE, "1000000 are allowed"),
        (line(input_tokens="7"), Reason.INVALID, "input_tokens"),
        (line(input_tokens=1.5), Reason.INVALID, "input_tokens"),
        (line(input_tokens=-1), Reason.INVALID, "input_tokens"),
        (line(occurred_at="2025-10-01T12:00:00"), Reason.INVALID, "occurred_at"),
        (line(specversion="1.0"), Reason.INVALID, "type"),
        (line(colour="red"), Reason.UNKNOWN_FIELD, "colour"),
        (line(input_tokens=100_000_001), Reason.COUNT_TOO_LARGE, "input_tokens"),
        (line(input_tokens=2**53 + 1), Reason.COUNT_TOO_LARGE, "input_tokens"),
        (line(model="claude-opus-4-6-fast"), Reason.UNKNOWN_MODEL, "'claude-opus-4-6-fast'"),
        (line(occurred_at="2025-09-28T00:00:00Z"), Reason.UNPRICED, "no rate for model 'claude-sonnet-4-5' at 2025-09"),
        (line(inference_geo="us"), Reason.UNPRICED, "does not list +us"),
        (line(inference_geo="mars"), Reason.UNPRICED, "inference_geo 'mars'"),
    ],
)
def test_a_bad_line_is_rejected_with_its_number_and_the_next_is_still_priced(
    bad: bytes, reason: Reason, said: str
) -> None:
    priced, (reject,) = run(line(event_id="before"), b"\n", bad, line(event_id="after"))
    assert [row["event_id"] for row in priced] == ["before", "after"]
    assert (reject["line"], reject["reason"]) == (3, reason)
    assert said in reject["detail"]
