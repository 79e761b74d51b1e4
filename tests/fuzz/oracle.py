"""What the models say of bytes: a record and what the decoder made of it come in; where the two differ goes out.

The JSON is read by the standard library, so that no decoder vouches for itself.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from pipeline.agents.decoding import (
    BadEvent,
    Batch,
    Decoded,
    batch_of,
    compiled,
    decode_singles,
    payload_digest,
    raw_event,
)
from pipeline.domain.compiled import Usage
from schemas.dead_letters import Reason
from schemas.usage import InvalidEvent, UsageEvent, read_event

_FIELDS = [name for name in UsageEvent.model_fields if name != "corrects"]
_DEEPEST = 400
"""Of brackets: nested deeper than this, who reads it at all is a matter of stacks."""
_MOST_DIGITS = 4_000
"""More the standard library does not read; what is said of such a number does not depend on the others."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Differs(AssertionError):
    """The decoder and the models disagree about some bytes."""


def compare(value: bytes, decoded: Sequence[Decoded]) -> None:
    """Hold each event of a record against the models.

    Raises:
        Differs: saying how.
    """
    if decoded and isinstance(decoded[0], BadEvent) and decoded[0].reason is Reason.TOO_LARGE:
        return
    for index, event in enumerate(decoded):
        raw = raw_event(value, index) if len(decoded) > 1 or not isinstance(event, BadEvent) else event.raw
        _compare_event(raw, event)


def compare_together(values: Sequence[bytes], decoded: Sequence[Sequence[Decoded]]) -> None:
    """Hold the way of many records at once against the way of one, for those that hold one event each.

    Raises:
        Differs: saying how.
    """
    singles = [
        (value, events[0])
        for value, events in zip(values, decoded, strict=True)
        if len(events) == 1 and value.startswith(b"{") and isinstance(events[0], Usage)
    ]
    for begin in range(0, len(singles), 50):
        piece = singles[begin : begin + 50]
        together = decode_singles([value for value, _ in piece])
        if together is not None and _columns(together) != _columns(batch_of([event for _, event in piece])):
            raise Differs("decoded together, events differ from those decoded one by one")


def _columns(batch: Batch) -> Any:
    return batch.occurred_at_micros, batch.keys, batch.payloads, batch.digests


def _compare_event(raw: bytes, event: Decoded) -> None:
    expected, is_plain = _judged(raw)
    if isinstance(event, BadEvent):
        if event.reason is not expected and (is_plain or event.reason is not Reason.MALFORMED):
            raise Differs(f"refused as {event.reason} ({event.detail[:200]}); the models say {_short(expected)}")
        return
    if not isinstance(expected, UsageEvent):
        raise Differs(f"taken; the models say {expected}")
    for name in _FIELDS:
        if getattr(event, name) != getattr(expected, name):
            raise Differs(f"{name} is {getattr(event, name)!r}; the models say {getattr(expected, name)!r}")
    if payload_digest(event) != payload_digest(compiled(expected)):
        raise Differs("another payload than that of the model")


def _judged(raw: bytes) -> tuple[UsageEvent | Reason, bool]:
    """The event, or why it is none; and whether its JSON is plain: a decoder may refuse what is not, but need not."""
    numbers: list[str] = []
    keep = numbers.append
    try:
        wire = json.loads(
            raw.decode(),
            parse_constant=_refuse,
            parse_float=lambda digits: keep(digits) or float(digits),
            parse_int=lambda digits: keep(digits) or int(digits[:_MOST_DIGITS]),
        )
    except (ValueError, RecursionError):
        return Reason.MALFORMED, True
    is_plain = _SURROGATE.search(raw) is None and _is_shallow(raw) and all(map(_is_usual, numbers))
    if not isinstance(wire, dict):
        return Reason.MALFORMED, is_plain
    try:
        return read_event(wire), is_plain
    except InvalidEvent as error:
        kinds = {kind for _, kind, _ in error.problems}
    if "extra_forbidden" in kinds:
        return Reason.UNKNOWN_FIELD, is_plain
    return (Reason.COUNT_TOO_LARGE if "less_than_equal" in kinds else Reason.INVALID), is_plain


def _is_shallow(raw: bytes) -> bool:
    return raw.count(b"[") + raw.count(b"{") < _DEEPEST


def _is_usual(digits: str) -> bool:
    """Neither near the end of doubles nor near their beginning."""
    return len(digits) < 300 and (abs(float(digits)) < 1e300) and "e-" not in digits.lower()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _short(expected: UsageEvent | Reason) -> str:
    return str(expected)[:200]
