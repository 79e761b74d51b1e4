"""Decoding usage records: the bytes of Kafka records in; their events, or why an event or a record is none, out.

Nearly every event takes the quick way, a compiled struct; whatever that refuses is judged by the pydantic models, so
what is an event, and why not, is said in one place (schemas/usage.py). Source: docs/rules.md R9, R14, R14a, R17.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import msgspec
import xxhash

from pipeline.domain.compiled import Usage, compile_struct
from schemas.base import are_identifiers, is_identifier
from schemas.dead_letters import MAX_RECORD_BYTES, Reason
from schemas.instants import format_instant, parse_canonical, parse_instant_quickly
from schemas.usage import NO_GEO_FACTOR, USAGE_TYPE, InvalidEvent, UsageEvent, read_event

MAX_EVENTS_PER_RECORD = 10_000
_IDENTITY_VERSION = 1


@dataclass(frozen=True, slots=True)
class BadEvent:
    """Bytes that are no event, and why; what could still be read of them is in `wire`."""

    reason: Reason
    detail: str
    raw: bytes
    wire: dict[str, Any]


Decoded = Usage | BadEvent


@dataclass(slots=True)
class Batch:
    """Events in columns; of a BadEvent 0 and no bytes.

    Attributes:
        keys: of their identities.
        payloads: the named fields that differ from their default, as JSON (R14).
        digests: of the payloads.
    """

    events: list[Decoded]
    occurred_at_micros: list[int]
    keys: list[bytes]
    payloads: list[bytes]
    digests: list[bytes]


_Usage: Any = Usage
_Data: Any = compile_struct(UsageEvent, without=("event_id", "source", "occurred_at"))


class _CloudEvent(msgspec.Struct, gc=False):
    """The envelope in structured mode; extensions are ignored (R14a)."""

    specversion: str
    id: str
    source: str
    time: str
    type: str
    data: _Data
    datacontenttype: str = "application/json"


_decode_bare = msgspec.json.Decoder(Usage).decode
_decode_cloud_event = msgspec.json.Decoder(_CloudEvent).decode
_split_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_DATA_FIELDS = _Data.__struct_fields__
# Refused by the quick way; UnicodeDecodeError is a ValueError, and nesting too deep a RecursionError.
_REFUSALS = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
_BRACE = ord("{")
_DEFAULTS = dict(zip(_Usage.__struct_fields__[::-1], _Usage.__struct_defaults__[::-1], strict=False))
_STANDARD: str = _DEFAULTS["processing"]
_NO_GEO: str = _DEFAULTS["inference_geo"]
_NO_SOURCE: str = _DEFAULTS["source"]
_USUAL_CLOUD_EVENT = b'{"specversion"'
_MARKS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{},]', re.DOTALL)


def decode_singles(values: Sequence[Any]) -> Batch | None:
    """The events of records that hold one bare event each; None where some record may hold something else."""
    try:
        if max(map(len, values)) > MAX_RECORD_BYTES:
            return None
        events: list[Any] = list(map(_decode_bare, values))
    except (*_REFUSALS, TypeError):  # a record may have no value
        return None
    occurred_at_micros, keys = [], []
    known, digest = _KNOWN, xxhash.xxh3_128_digest
    plain_ids = are_identifiers([usage.event_id for usage in events]) and are_identifiers(
        [usage.user_id for usage in events]
    )
    for number, usage in enumerate(events):
        micros = parse_canonical(usage.occurred_at)
        org_id, source, event_id = usage.org_id, usage.source, usage.event_id
        if (
            micros is not None
            and (plain_ids or (is_identifier(event_id) and is_identifier(usage.user_id)))
            and (org_id in known or _is_new_identifier(org_id))
            and (usage.product in known or _is_new_identifier(usage.product))
            and (usage.model in known or _is_new_identifier(usage.model))
            and (source is _NO_SOURCE or source in known or _is_new_identifier(source))
            and usage.processing is _STANDARD
            and usage.speed is _STANDARD
            and usage.inference_geo is _NO_GEO
            and usage.corrects is None
        ):
            occurred_at_micros.append(micros)
            keys.append(digest(f"{org_id} {source} {event_id}".encode()))
        else:
            event = events[number] = decode_event(values[number])
            occurred_at_micros.append(_occurred(event))
            keys.append(_key(event))
    return _with_payloads(events, occurred_at_micros, keys)


def batch_of(events: list[Decoded]) -> Batch:
    """Events that were decoded one by one, in columns."""
    return _with_payloads(events, list(map(_occurred, events)), list(map(_key, events)))


def _with_payloads(events: list[Decoded], occurred_at_micros: list[int], keys: list[bytes]) -> Batch:
    payloads = (
        list(map(_encode, events))
        if all(keys)
        else [_encode(e) if k else b"" for e, k in zip(events, keys, strict=True)]
    )
    return Batch(events, occurred_at_micros, keys, payloads, list(map(digest_of, payloads)))


def _occurred(event: Decoded) -> int:
    return 0 if isinstance(event, BadEvent) else event.occurred_at_micros


def _key(event: Decoded) -> bytes:
    return b"" if isinstance(event, BadEvent) else identity_key(event)


def decode_record(value: bytes | None) -> list[Decoded]:
    """Every event of a record, in order; a record that cannot be taken apart gives one BadEvent."""
    if value is None or len(value) == 0:
        return [BadEvent(Reason.MALFORMED, "the record is empty", b"", {})]
    if len(value) > MAX_RECORD_BYTES:
        detail = f"the record has {len(value)} bytes; {MAX_RECORD_BYTES} are allowed"
        return [BadEvent(Reason.TOO_LARGE, detail, value, {})]
    if value[0] == _BRACE or not _is_array(value):
        return [decode_event(value)]
    try:
        items = _items(value)
    except _REFUSALS as error:
        return [BadEvent(Reason.MALFORMED, f"not JSON: {error}", value, {})]
    if not items:
        return [BadEvent(Reason.MALFORMED, "an array without events", value, {})]
    if len(items) > MAX_EVENTS_PER_RECORD:
        detail = f"an array of {len(items)} events; {MAX_EVENTS_PER_RECORD} are allowed"
        return [BadEvent(Reason.TOO_LARGE, detail, value, {})]
    return [decode_event(bytes(item)) for item in items]


def raw_event(value: bytes, index: int) -> bytes:
    """The bytes of one event of a record that decode_record could take apart."""
    return bytes(_items(value)[index]) if _is_array(value) else value


# Remembered, because every event of a record may ask for its own bytes.
@lru_cache(maxsize=2)
def _items(value: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The items of an array, one by one; what is wrong with one of them is no matter of the others.

    Raises:
        What the decoder says of an array that is cut off.
    """
    try:
        return _split_array(value)
    except _REFUSALS:
        items = _split_at_commas(value)
        if not items:
            raise
        return items


def _split_at_commas(value: bytes) -> list[bytes]:
    """The items of an array that is not JSON as a whole; none if it is cut off or goes on after its end."""
    items = []
    depth = begin = end = 0
    for mark in _MARKS.finditer(value):
        if mark[0] in (b"[", b"{"):
            depth += 1
            begin = mark.end() if depth == 1 else begin
        elif mark[0] in (b"]", b"}"):
            depth -= 1
        if depth == 0 or (depth == 1 and mark[0] == b","):
            items.append(value[begin : mark.start()].strip())
            begin = end = mark.end()
        if depth == 0:
            break
    return items if depth == 0 and not value[end:].strip() else []


def _is_array(value: bytes) -> bool:
    return value.lstrip(b" \t\r\n")[:1] == b"["


def decode_event(raw: bytes) -> Decoded:
    """The event of one JSON object, bare or a CloudEvent."""
    try:
        return _normalized(_from_cloud_event(raw) if raw.startswith(_USUAL_CLOUD_EVENT) else _decode_bare(raw))
    except _REFUSALS:
        pass
    try:
        if b'"specversion"' in raw:
            return _normalized(_from_cloud_event(raw))
    except _REFUSALS:
        pass
    return _judge(raw)


def _from_cloud_event(raw: bytes) -> Any:
    event = _decode_cloud_event(raw)
    if not raw.isascii():
        raw.decode()  # extensions are skipped unread, and what is not UTF-8 is not JSON
    if event.specversion != "1.0" or event.type != USAGE_TYPE or event.datacontenttype != "application/json":
        raise ValueError("not our CloudEvent")
    if not event.source:
        raise ValueError("a CloudEvent's source is not empty")
    data = {name: getattr(event.data, name) for name in _DATA_FIELDS}
    return _Usage(event_id=event.id, source=event.source, occurred_at=event.time, **data)


def _normalized(usage: Any) -> Usage:
    """The struct with the values the model would have: null and no-factor values as defaults, canonical instants.

    Raises:
        ValueError: a text that only the model can judge.
    """
    # What is absent is the default's very object, and only that is left out of the payload digest.
    if usage.processing is not _STANDARD:
        usage.processing = _known_or(_STANDARD, usage.processing)
    if usage.speed is not _STANDARD:
        usage.speed = _known_or(_STANDARD, usage.speed)
    if usage.inference_geo is not _NO_GEO:
        geo = usage.inference_geo
        usage.inference_geo = _NO_GEO if geo in NO_GEO_FACTOR else _known_or(_NO_GEO, geo)
    if parse_canonical(usage.occurred_at) is None:
        usage.occurred_at = format_instant(parse_instant_quickly(usage.occurred_at))
    if not (
        is_identifier(usage.event_id)
        and is_identifier(usage.user_id)
        and _is_identifier(usage.org_id)
        and _is_identifier(usage.product)
        and _is_identifier(usage.model)
        and (not usage.source or _is_identifier(usage.source))
        and usage.corrects is None
    ):
        raise ValueError("left to the model")
    normalized: Usage = usage
    return normalized


def _known_or(default: str, value: str | None) -> str:
    if value is None or value == default:
        return default
    if not _is_identifier(value):
        raise ValueError("left to the model")
    return value


_KNOWN: set[str] = set()
"""Texts that are identifiers: organisations, products, models come again and again. Members are too many for it."""


def _is_identifier(text: str) -> bool:
    return text in _KNOWN or _is_new_identifier(text)


def _is_new_identifier(text: str) -> bool:
    if not is_identifier(text):
        return False
    if len(_KNOWN) >= 200_000:
        _KNOWN.clear()
    _KNOWN.add(text)
    return True


def _judge(raw: bytes) -> Decoded:
    """What the models say of an object that the quick way refused."""
    try:
        wire = _decode_any(raw)
    except RecursionError:
        return BadEvent(Reason.MALFORMED, "nested too deeply", raw, {})
    except _REFUSALS as error:
        return BadEvent(Reason.MALFORMED, f"not JSON: {error}", raw, {})
    if not isinstance(wire, dict):
        return BadEvent(Reason.MALFORMED, f"not an object but {type(wire).__name__}", raw, {})
    try:
        event = read_event(wire)
    except InvalidEvent as error:
        return BadEvent(_reason(error), str(error), raw, wire)
    return compiled(event)


def compiled(event: UsageEvent) -> Usage:
    """The compiled form of a model."""
    usage: Usage = msgspec.convert(event.model_dump(mode="json", exclude_defaults=True), Usage)
    return usage


def _reason(error: InvalidEvent) -> Reason:
    kinds = {kind: where for where, kind, _ in reversed(error.problems)}
    if "extra_forbidden" in kinds:
        return Reason.UNKNOWN_FIELD
    if "less_than_equal" in kinds:
        return Reason.COUNT_TOO_LARGE
    return Reason.INVALID


def identity_key(usage: Usage) -> bytes:
    """16 bytes that stand for (org_id, source, event_id); the parts hold no space (R14)."""
    return identity_key_of(f"{usage.org_id} {usage.source} {usage.event_id}")


def identity_key_of(text: str) -> bytes:
    """The key of an identity written out."""
    return xxhash.xxh3_128_digest(text.encode())


def payload_of(usage: Usage) -> bytes:
    """The named fields that differ from their default, as JSON: a retry written differently gives the same (R14)."""
    payload: bytes = _encode(usage)
    return payload


digest_of = partial(xxhash.xxh3_64_digest, seed=_IDENTITY_VERSION)
"""8 bytes that stand for a payload."""


def payload_digest(usage: Usage) -> bytes:
    """What two deliveries of one event have in common."""
    return digest_of(payload_of(usage))


def decode_typed(raw: bytes) -> Usage:
    """The typed decode alone, nothing judged: what a benchmark holds the rest against."""
    return _decode_bare(raw)
