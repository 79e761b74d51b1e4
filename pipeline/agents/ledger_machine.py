"""The ledger as the engine's machine: records of one partition in; priced rows, breaches, answers, cells out.

It decodes, tells new events from duplicates and others' events from its own, lets the domain charge and apply, and
encodes what comes of it. It holds no Kafka: `simulate` and the tests run the very same class in memory.
Source: docs/rules.md R14, R16, R17, R20a, R41, R43, R44.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pipeline.agents import dead_letters
from pipeline.agents.decoding import (
    BadEvent,
    Batch,
    Decoded,
    batch_of,
    decode_record,
    decode_singles,
    digest_of,
    payload_of,
    raw_event,
)
from pipeline.domain import accounts, calendar
from pipeline.domain.charging import Charging, Rejected, Rules
from pipeline.domain.compiled import Usage
from pipeline.domain.pricing import CompiledPrices
from pipeline.domain.state import Counters, State
from pipeline.engine.contract import (
    Effects,
    EventFailed,
    Forward,
    Identities,
    InputRecord,
    InvariantBroken,
    Output,
    Place,
    Run,
)
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import arrival_micros, forward_fits, origin
from pipeline.topics import ACCOUNT_COMMANDS, ACCOUNT_EVENTS, DEAD_LETTERS, LIMIT_BREACHES, PRICED_USAGE, USAGE_EVENTS
from schemas.commands import COMMANDS, Command
from schemas.dead_letters import MAX_RECORD_BYTES, DeadLetter, Origin, Reason
from schemas.events import LedgerEvent, LimitBreached, LimitResumed, envelope

RULES_VERSION = 1
GROUP_EVENTS = 500
MAX_CHUNK_EVENTS = 20_000
MAX_CHUNK_BYTES = 16_000_000
MAX_VALUE_BYTES = 890_000
_STRIDE_PIECES = 32

_BUG = "a bug of ours; the log says more. Send it again once that is mended"
_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode


class LedgerMachine:
    """One partition's ledger."""

    def __init__(
        self,
        partition: int,
        identities: Identities,
        *,
        partitions: int,
        prices: CompiledPrices,
        rules: Rules,
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.identities = identities
        self.rules = rules
        self.versions: dict[str, str | int] = {"price_book": prices.book.version, "rules": RULES_VERSION}
        self.state = State()
        self.charging = Charging(self.state, prices, rules, partition)
        self._quarantined: frozenset[Place] = frozenset()
        self._start_chunk()

    # What the engine calls (engine/contract.py).

    def restore(self, cells: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over what an earlier life committed."""
        self.state.restore(cells)
        self.charging.time_moved()

    def next_due_micros(self) -> int | None:
        """The next month end or month close; first of all, the calendar's opening."""
        return calendar.next_due_micros(self.state, self.rules)

    def advance(self, now_micros: int, budget: int) -> Effects:
        """Open the calendar; turn and close months that are due."""
        self._start_chunk()
        for _ in range(budget):
            if not calendar.advance(self.state, self.rules, now_micros):
                break
        self.charging.time_moved()
        return self.finish()

    def begin(self, now_micros: int, quarantined: frozenset[Place]) -> None:
        """Start a chunk."""
        self._start_chunk()
        self._quarantined = quarantined

    def take(self, run: Run) -> bool:
        """Process a slice of records; False when the chunk has become large enough."""
        if run.input == "commands":
            for record in run.records:
                self._command(record)
                self._taken += 1
                if self._is_full():
                    return False
            return True
        records = run.records
        if (batch := decode_singles([record.value for record in records])) is not None:
            self._usage(records, [0] * len(records), batch, len(records))
            return not self._is_full()
        first = 0
        events: list[Decoded] = []
        places: list[tuple[InputRecord, int]] = []
        for number, record in enumerate(records, start=1):
            decoded = decode_record(record.value)
            events += decoded
            places += [(record, index) for index in range(len(decoded))]
            if len(events) >= GROUP_EVENTS or number == len(records):
                indexes = [index for _, index in places]
                self._usage([record for record, _ in places], indexes, batch_of(events), number - first)
                first, events, places = number, [], []
                if self._is_full():
                    return False
        return True

    def finish(self) -> Effects:
        """Everything the chunk wants written."""
        state, outputs = self.state, self._outputs
        if self.charging.rows:
            outputs[PRICED_USAGE.name] = self._priced_usage()
        counts = state.counters.snapshot()
        if counts != self._counts_before:
            _check(state.counters)
            state.touch(state.counters)
        return Effects(
            taken=self._taken,
            outputs=outputs,
            cells=state.take_changes(),
            identities=self._fresh,
            forwards=self._forwards,
            counts={
                name: after - before
                for name, before, after in zip(Counters.NAMES, self._counts_before, counts, strict=True)
                if after != before
            },
        )

    def idle(self, now_micros: int) -> Effects:
        """Nothing is held back yet."""
        return Effects()

    # Usage.

    def _usage(self, records: Sequence[InputRecord], indexes: Sequence[int], batch: Batch, records_read: int) -> None:
        """Charge a batch of events; their identities are looked up together.

        Args:
            records: the record of each event.
            indexes: of the events in their records.
            records_read: how many different records these are.
        """
        counters, fresh, quarantined = self.state.counters, self._fresh, self._quarantined
        organizations, charge = self.state.organizations, self.charging.charge
        rows = self.charging.rows
        pieces_before = len(rows)
        known = self.identities.look_up(batch.keys)
        event: Any  # a Usage once it is no BadEvent; told apart by a type check that costs nothing
        for record, index, event, occurred, key, remembered in zip(
            records, indexes, batch.events, batch.occurred_at_micros, batch.keys, known, strict=True
        ):
            try:
                if quarantined and Place("usage", record.offset, index) in quarantined:
                    raise Rejected(Reason.INTERNAL_ERROR, _BUG)
                if type(event) is BadEvent:
                    raise Rejected(event.reason, event.detail)
                organization = organizations.get(event.org_id)
                if organization is None:
                    self._forward(record, index, event)
                    continue
                payload = payload_of(event)
                digest = digest_of(payload)
                if remembered is None:
                    remembered = fresh.get(key)
                if remembered is not None:
                    _refuse_conflict(event, digest, remembered)
                    counters.duplicates += 1
                    continue
                if record.headers:
                    arrived, first = arrival_micros(record), self._elsewhere(record, index)
                else:
                    arrived, first = record.timestamp * 1000, None
                fresh[key] = digest + charge(
                    organization, event, occurred, payload, arrived, record.offset, index, first
                )
            except Rejected as rejected:
                self._reject(record, index, event, rejected)
            except Exception as error:
                raise EventFailed(Place("usage", record.offset, index), error) from error
            if self.charging.breaches:
                self._publish(self.charging.breaches.pop())
        pieces = rows[pieces_before:]
        charged = len(pieces) // 2
        self._bytes += sum(map(len, pieces))
        self._events += len(batch.events)
        self._taken += records_read
        counters.usage_records += records_read
        counters.usage_events += len(batch.events)
        counters.accepted += charged
        counters.rows += charged

    def _forward(self, record: InputRecord, index: int, usage: Usage) -> None:
        """Hand an event to the partition it belongs to; here it is neither priced nor deduplicated (R43).

        Raises:
            Rejected: it belongs here and nobody knows its organisation, or it is too large to forward.
        """
        if not self._is_foreign(usage.org_id):
            raise Rejected(Reason.UNKNOWN_ORGANIZATION, f"organization {usage.org_id} is not registered")
        raw = raw_event(record.value or b"", index)
        if not forward_fits(raw):
            detail = f"it belongs to another partition, and {len(raw)} bytes are too large to forward"
            raise Rejected(Reason.TOO_LARGE, detail)
        self.state.counters.forwarded += 1
        self._forwards.append(Forward("usage", usage.org_id.encode(), raw, record, index))
        self._bytes += len(raw)

    def _reject(self, record: InputRecord, index: int, event: Decoded, rejected: Rejected) -> None:
        self.state.counters.dead_letters += 1
        place, arrived = self._origin(record, index), arrival_micros(record)
        if isinstance(event, BadEvent):
            letter = dead_letters.of_bad_event(event, place, arrived)
        else:
            raw = raw_event(record.value or b"", index)
            letter = dead_letters.of_usage(event, raw, rejected.reason, str(rejected), place, arrived)
        self._publish_dead_letter(letter)

    # Commands.

    def _command(self, record: InputRecord) -> None:
        try:
            self._decide_command(record)
        except InvariantBroken:
            raise
        except Exception as error:
            raise EventFailed(Place("commands", record.offset, 0), error) from error

    def _decide_command(self, record: InputRecord) -> None:
        raw = record.value or b""
        arrived = arrival_micros(record)
        counters = self.state.counters
        counters.commands += 1
        place = self._origin(record, 0, ACCOUNT_COMMANDS.name)
        if len(raw) > MAX_RECORD_BYTES:
            counters.commands_unreadable += 1
            detail = f"the record has {len(raw)} bytes; {MAX_RECORD_BYTES} are allowed"
            self._publish_dead_letter(dead_letters.of_command(raw, Reason.TOO_LARGE, detail, place, arrived))
            return
        try:
            command: Command = COMMANDS.validate_python(_decode_any(raw))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            counters.commands_unreadable += 1
            detail = f"no account command: {error}"
            self._publish_dead_letter(dead_letters.of_command(raw, Reason.MALFORMED, detail, place, arrived))
            return
        if command.org_id not in self.state.organizations and self._is_foreign(command.org_id):
            counters.commands_forwarded += 1
            self._forwards.append(Forward("commands", command.org_id.encode(), raw, record, 0))
            return
        if self._quarantined and Place("commands", record.offset, 0) in self._quarantined:
            refusal = accounts.refuse(self.state, command, "internal_error", _BUG, arrived)
            counters.commands_refused += 1
            self._publish(refusal)
            return
        events, outcome = accounts.apply(self.state, command, arrived)
        setattr(counters, f"commands_{outcome}", getattr(counters, f"commands_{outcome}") + 1)
        for event in events:
            self._publish(event)

    # What goes out.

    def _publish(self, event: LedgerEvent) -> None:
        topic = LIMIT_BREACHES if isinstance(event, LimitBreached | LimitResumed) else ACCOUNT_EVENTS
        self._put(topic.name, event.org_id.encode(), _encode(envelope(event)))

    def _publish_dead_letter(self, letter: DeadLetter) -> None:
        self._put(DEAD_LETTERS.name, letter.dead_letter_id.encode(), letter.model_dump_json().encode())

    def _put(self, topic: str, key: bytes, value: bytes) -> None:
        self._outputs.setdefault(topic, []).append(Output(key, value))
        self._bytes += len(value)

    def _priced_usage(self) -> list[Output]:
        """The chunk's rows as JSON lines, cut below what a Kafka batch may hold."""
        pieces = self.charging.rows
        outputs: list[Output] = []
        begin = size = 0
        for end in range(0, len(pieces), _STRIDE_PIECES):
            more = sum(map(len, pieces[end : end + _STRIDE_PIECES]))
            if size + more > MAX_VALUE_BYTES:
                outputs.append(Output(None, b"".join(pieces[begin:end])))
                begin, size = end, 0
            size += more
        outputs.append(Output(None, b"".join(pieces[begin:])))
        return outputs

    # Small things.

    def _start_chunk(self) -> None:
        self._taken = 0
        self._bytes = 0
        self._events = 0
        self.charging.rows = []
        self._outputs: dict[str, list[Output]] = {}
        self._forwards: list[Forward] = []
        self._fresh: dict[bytes, bytes] = {}
        self._quarantined = frozenset()
        self._counts_before = self.state.counters.snapshot()

    def _is_full(self) -> bool:
        return self._bytes > MAX_CHUNK_BYTES or self._events > MAX_CHUNK_EVENTS

    def _is_foreign(self, org_id: str) -> bool:
        return partition_of(org_id.encode(), self.partitions) != self.partition

    def _origin(self, record: InputRecord, index: int, topic: str = USAGE_EVENTS.name) -> Origin:
        first = origin(record, topic, self.partition, index)
        return Origin(topic=first.topic, partition=first.partition, offset=first.offset, index=first.index)

    def _elsewhere(self, record: InputRecord, index: int) -> tuple[str, int, int, int] | None:
        first = origin(record, USAGE_EVENTS.name, self.partition, index)
        there = (first.topic, first.partition, first.offset, first.index)
        return None if there == (USAGE_EVENTS.name, self.partition, record.offset, index) else there


def _refuse_conflict(usage: Usage, digest: bytes, remembered: bytes) -> None:
    """The same identity again is a duplicate if it says the same, else a conflict (R14)."""
    if remembered[:8] != digest:
        detail = (
            f"event {usage.event_id} of source {usage.source!r} was taken with another payload, "
            f"digest {remembered[:8].hex()}; this one's is {digest.hex()}"
        )
        raise Rejected(Reason.CONFLICT, detail)


def _check(counters: Counters) -> None:
    """Nothing read is unaccounted for (R41)."""
    accounted = counters.accepted + counters.duplicates + counters.dead_letters + counters.forwarded
    if counters.usage_events != accounted:
        raise InvariantBroken(f"{counters.usage_events} usage events were read, {accounted} are accounted for")
