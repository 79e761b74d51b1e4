"""Claude Code's logs: files of JSON lines go in, one usage event per request comes out, in the order of time.

A line is one *delivery* of a response. A request, `message.id` with `requestId`, is delivered several times with
growing `output_tokens`: the last delivery is the truth, and its time is when the request occurred. Sub-agents' files
name their parent's session in every line. Source: docs/rules.md R9, R11, R14a; examples/README.md.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.importers.people import INCLUDED_REQUESTS, Payer
from schemas.base import is_identifier
from schemas.instants import parse_instant
from schemas.usage import UsageEvent

PRODUCT = "claude-code"
SOURCE = "claude-code"

# What Claude Code writes in place of a model when it made the message up itself: nothing was requested.
SYNTHETIC = "<synthetic>"


@dataclass(frozen=True, slots=True)
class Request:
    """The last delivery of one request."""

    event_id: str
    session_id: str
    occurred_at_micros: int
    model: str
    usage: dict[str, Any]


@dataclass(slots=True)
class Log:
    """What a set of files holds; `skipped` says how many lines could not be used, and why."""

    requests: list[Request]
    deliveries: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The log files under `paths`: a file is itself, a folder every `*.jsonl` below it; sorted, each once.

    Raises:
        FileNotFoundError: a path is not there, or a folder holds no log.
    """
    files: set[Path] = set()
    for path in paths:
        found = [path] if path.is_file() else sorted(path.rglob("*.jsonl"))
        if not found:
            raise FileNotFoundError(f"{path}: no such file, and no folder with *.jsonl files in it")
        files.update(found)
    return sorted(files)


def read_log(files: Iterable[Path], on_file: Callable[[Path], None] = lambda path: None) -> Log:
    """The requests of all files by (time, event id); `on_file` hears of each file once it is read."""
    latest: dict[str, Request] = {}
    log = Log(requests=[])
    for path in files:
        with path.open("rb") as lines:
            for line in lines:
                # Most lines of a log are what people and tools said; only replies carry usage.
                if b'"usage"' in line:
                    _take(line, latest, log)
        on_file(path)
    log.requests = sorted(latest.values(), key=lambda request: (request.occurred_at_micros, request.event_id))
    return log


def usage_events(log: Log, payer: Payer) -> Iterator[UsageEvent]:
    """One event per request in the log's order; what cannot be an event is counted in `log.skipped`."""
    requests_of: Counter[str] = Counter()
    for request in log.requests:
        requests_of[request.session_id] += 1
        person = payer(request.session_id)
        funding = "included" if requests_of[request.session_id] <= INCLUDED_REQUESTS else "credits"
        try:
            yield UsageEvent.model_validate(
                {
                    "org_id": person.org_id,
                    "user_id": person.user_id,
                    "event_id": request.event_id,
                    "source": SOURCE,
                    "product": PRODUCT,
                    "model": request.model,
                    "occurred_at": request.occurred_at_micros,
                    "funding": funding,
                    **_quantities(request.usage),
                }
            )
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            log.skipped[f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"] += 1


def _take(line: bytes, latest: dict[str, Request], log: Log) -> None:
    try:
        delivery = json.loads(line)
        message = delivery["message"]
        if not isinstance(message.get("usage"), dict) or message["model"] == SYNTHETIC:
            return
        request = Request(
            event_id=_event_id(message["id"], delivery.get("requestId") or ""),
            session_id=delivery["sessionId"],
            occurred_at_micros=parse_instant(delivery["timestamp"]),
            model=message["model"],
            usage=message["usage"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.skipped[f"no delivery: {type(error).__name__}"] += 1
        return
    log.deliveries += 1
    earlier = latest.get(request.event_id)
    # Files are not read in the order of time; at the same time the later line is the later delivery.
    if earlier is None or earlier.occurred_at_micros <= request.occurred_at_micros:
        latest[request.event_id] = request


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
