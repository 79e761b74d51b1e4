"""Claude Code's logs: files of JSON lines in, a reading per delivery of a response out.

A request, `message.id` with `requestId`, is delivered several times with growing `output_tokens`: the last delivery is
the truth, and its time is when the request occurred. Sub-agents' files name their parent's session in every line.
Source: docs/rules.md R9, R11, R14a; examples/README.md.
"""

import json
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, BinaryIO

from pipeline.importers.people import INCLUDED_REQUESTS, person_of
from pipeline.importers.readings import Complete, Format, NoUsage, Reading, Told
from schemas.base import is_identifier
from schemas.instants import parse_instant

PRODUCT = "claude-code"
SOURCE = "claude-code"

# What Claude Code writes in place of a model when it made the message up itself: nothing was requested.
SYNTHETIC = "<synthetic>"


def read(lines: BinaryIO) -> Iterator[Reading | NoUsage]:
    """The deliveries of one file."""
    for line in lines:
        # Most lines of a log are what people and tools said; only replies carry usage.
        if b'"usage"' not in line:
            continue
        try:
            delivery = json.loads(line)
            message = delivery["message"]
            if isinstance(message.get("usage"), dict) and message["model"] != SYNTHETIC:
                yield _reading(delivery, message)
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
            yield NoUsage(f"no delivery: {type(error).__name__}")


def _complete(told: Told) -> Complete:
    """Whose a session is and who paid, by the rule of pipeline/importers/people.py where nobody was told."""
    requests_of: Counter[str] = Counter()

    def complete(reading: Reading) -> Reading:
        session_id = reading.pop("session_id")
        if told.org_id is None:
            requests_of[session_id] += 1
            is_included = requests_of[session_id] <= INCLUDED_REQUESTS
            person = person_of(session_id)
            reading |= {"org_id": person.org_id, "user_id": person.user_id}
            reading["funding"] = told.funding or ("included" if is_included else "credits")
        return reading

    return complete


CLAUDE_CODE = Format("*.jsonl", read, comes_again=True, complete=_complete)


def _reading(delivery: dict[str, Any], message: dict[str, Any]) -> Reading:
    session_id = delivery["sessionId"]
    if not is_identifier(session_id):
        raise ValueError(session_id)
    return {
        "session_id": session_id,
        "event_id": _event_id(message["id"], delivery.get("requestId") or ""),
        "source": SOURCE,
        "product": PRODUCT,
        "model": message["model"],
        "occurred_at_micros": parse_instant(delivery["timestamp"]),
        **_quantities(message["usage"]),
    }


def _event_id(message_id: str, request_id: str) -> str:
    """Both ids, or their hash where they are no identifier together (R14)."""
    both = f"{message_id}:{request_id}"
    return both if is_identifier(both) else sha256(both.encode()).hexdigest()


def _quantities(usage: dict[str, Any]) -> dict[str, Any]:
    """Claude's usage block in the words of R9; a cache write of unnamed duration is the default one, 5 minutes."""
    written = usage.get("cache_creation_input_tokens") or 0
    by_duration = usage.get("cache_creation") or {"ephemeral_5m_input_tokens": written}
    return {
        "input_tokens": usage.get("input_tokens") or 0,
        "output_tokens": usage.get("output_tokens") or 0,
        "cache_read_tokens": usage.get("cache_read_input_tokens") or 0,
        "cache_write_5m_tokens": by_duration.get("ephemeral_5m_input_tokens") or 0,
        "cache_write_1h_tokens": by_duration.get("ephemeral_1h_input_tokens") or 0,
        "web_search_requests": (usage.get("server_tool_use") or {}).get("web_search_requests") or 0,
        "processing": usage.get("service_tier"),
        "speed": usage.get("speed"),
        "inference_geo": usage.get("inference_geo"),
    }
