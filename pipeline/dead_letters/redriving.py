"""The record as which an event is given to the ledger again: a dead letter comes in; the record, or why not, comes out.

It bears its first arrival and its origin, so that it is as old as it was, and its row names where it first lay (R16,
R17, R43, R44). It goes to its organisation's partition; where no organisation can be told, to where it was judged.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec

from pipeline.agents.decoding import BadEvent, decode_record, raw_event
from pipeline.dead_letters.reading import Filed
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import Origin, detour_headers
from pipeline.topics import ACCOUNT_COMMANDS, INPUTS
from schemas import dead_letters
from schemas.base import is_identifier
from schemas.dead_letters import MAX_RECORD_BYTES, DeadLetter
from schemas.instants import MICROS_PER_DAY, format_instant

RecordAt = Callable[[dead_letters.Origin], Awaitable[bytes | None]]
"""Reads the whole record at an origin; None where there is none."""


class HeldBack(Exception):
    """A dead letter that is not redriven; the message says why, and what to do."""


class Redriven(NamedTuple):
    """A record of an input; `topic` is without the prefix."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_millis: int


async def redriven(filed: Filed, record_at: RecordAt, partitions: int) -> Redriven:
    """The record of a dead letter.

    Raises:
        HeldBack: it cannot be had whole, or no input takes it.
    """
    letter, origin = filed.letter, filed.letter.origin
    if origin.topic not in {topic.name for topic in INPUTS}:
        raise HeldBack(f"it came from {origin.topic}, which is no input")
    value = await whole_payload(letter, record_at)
    org_id = letter.org_id
    key = org_id.encode() if org_id is not None and is_identifier(org_id) else None
    return Redriven(
        origin.topic,
        filed.partition if key is None else partition_of(key, partitions),
        key,
        value,
        detour_headers(Origin(origin.topic, origin.partition, origin.offset, origin.index), letter.arrived_at_micros),
        # Counts in replay mode alone, as that of what is forwarded does.
        letter.arrived_at_micros // 1_000,
    )


async def whole_payload(letter: DeadLetter, record_at: RecordAt) -> bytes:
    """Exactly the bytes that were refused: the letter's own, or if it holds only their beginning, those at the origin.

    Raises:
        HeldBack: they are too many, or not there any more, or others.
    """
    if letter.length_bytes > MAX_RECORD_BYTES:
        raise HeldBack(
            f"it has {letter.length_bytes:,} bytes, {MAX_RECORD_BYTES:,} are allowed (R17); its producer sends the "
            "events again in smaller records, and this one is discarded"
        )
    kept = base64.b64decode(letter.payload)
    if len(kept) == letter.length_bytes:
        if not _is_it(letter, kept):
            raise HeldBack("its payload is not what its length and SHA-256 say")
        return kept
    where = f"{letter.origin.topic}[{letter.origin.partition}] offset {letter.origin.offset}"
    record = await record_at(letter.origin)
    if record is None:
        raise HeldBack(
            f"the letter holds {len(kept):,} of its {letter.length_bytes:,} bytes, and {where} is gone; "
            "its producer sends it again"
        )
    if _is_it(letter, record):
        return record
    with suppress(msgspec.MsgspecError, ValueError, RecursionError, IndexError):  # it is no array, or a shorter one
        event = raw_event(record, letter.origin.index)
        if _is_it(letter, event):
            return event
    raise HeldBack(
        f"the letter holds {len(kept):,} of its {letter.length_bytes:,} bytes, and what lies at {where} is something "
        "else by length or SHA-256"
    )


def check_remembered(letter: DeadLetter, value: bytes, now_micros: int, horizon_days: int) -> None:
    """Nothing, if the ledger would know the event again: it remembers what it takes `horizon_days` and a day (R14).

    A producer may have sent the same event again since, and it was taken. That was no earlier than when it occurred: so
    what occurred within these days is safe to redrive, as a duplicate if need be.

    Raises:
        HeldBack: it may be forgotten.
    """
    if letter.origin.topic == ACCOUNT_COMMANDS.name:
        since_micros = letter.arrived_at_micros
    else:
        events = [event for event in decode_record(value) if not isinstance(event, BadEvent)]
        since_micros = min((event.occurred_at_micros for event in events), default=now_micros)
    if now_micros - since_micros > horizon_days * MICROS_PER_DAY:
        raise HeldBack(
            f"it is of {format_instant(since_micros)}, and the ledger remembers for {horizon_days} days what it took: "
            "make sure that it was not sent again and taken since (its event_id in priced_usage), then redrive it with "
            "--also-forgotten, or discard it"
        )


def _is_it(letter: DeadLetter, value: bytes) -> bool:
    return len(value) == letter.length_bytes and hashlib.sha256(value).hexdigest() == letter.sha256
