"""The ledger as the engine's machine: records of one partition in; priced rows, breaches, answers, cells out.

It decodes, tells new events from duplicates and others' events from its own, lets the domain charge and apply, and
encodes what comes of it. It holds no Kafka: `simulate` and the tests run the very same class in memory.
Source: docs/rules.md R14, R16, R17, R20a, R41, R43, R44.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from pipeline.agents import dead_letters
from pipeline.agents.commands import InvalidCommand, UnreadableCommand, read_command
from pipeline.agents.decoding import (
    BadEvent,
    Batch,
    Decoded,
    batch_of,
    decode_record,
    decode_singles,
    raw_event,
)
from pipeline.agents.originals import find_original, identities_of
from pipeline.agents.outputs import Outputs
from pipeline.agents.stages import Stages
from pipeline.domain import accounts, billing, calendar, corrections
from pipeline.domain.charging import Charging, Rejected
from pipeline.domain.compiled import Usage
from pipeline.domain.pricing import CompiledPrices
from pipeline.domain.reloads import ANSWER_MICROS
from pipeline.domain.rules import Rules
from pipeline.domain.settling import settle_all
from pipeline.domain.state import Counters, Organization, State
from pipeline.domain.status import Statuses
from pipeline.domain.wallet import set_watch
from pipeline.engine.contract import (
    Effects,
    EventFailed,
    Forward,
    Identities,
    InputRecord,
    InvariantBroken,
    Place,
    Rejections,
    Run,
)
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import arrival_micros, forward_fits, origin
from pipeline.logs import fields
from pipeline.topics import ACCOUNT_COMMANDS, USAGE_EVENTS
from schemas.commands import Command, CommandHead
from schemas.dead_letters import Origin, Reason

log = logging.getLogger(__name__)

RULES_VERSION = 3
GROUP_EVENTS = 500
MAX_CHUNK_EVENTS = 5_000
MAX_ADVANCE_BYTES = 50_000
MAX_CHUNK_BYTES = 16_000_000
_FORGET_WITH_A_CHUNK = 20
_FORGET_WHEN_IDLE = 2_000

_BUG = "a bug of ours; the log says more. Send it again once that is mended"


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
        self.versions: dict[str, str | int] = {
            "price_book": prices.book.version,
            "price_book_size": prices.book.size,
            "rules": RULES_VERSION,
        }
        self.state = State()
        self.charging = Charging(self.state, prices, rules, partition)
        self.statuses = Statuses(self.state, partition)
        self._corrected = 0
        self._last_arrival_micros = 0
        self._start_chunk(0)

    # What the engine calls (engine/contract.py).

    def restore(self, cells: Iterable[tuple[bytes, bytes]]) -> Iterator[None]:
        """Take over what an earlier life committed, some at a time."""
        state = self.state
        yield from state.restore(cells)
        self.charging.time_moved()
        if state.calendar.month:
            for organization in state.organizations.values():
                set_watch(state, organization, organization.wallet)
                yield
            billing.note(state)
        yield from self.statuses.take_up()

    @property
    def is_behind(self) -> bool:
        """Organisations are still to be billed for a month's end or close."""
        return bool(self.state.billing)

    def next_due_micros(self) -> int | None:
        """The next month end or month close; first of all, the calendar's opening."""
        return calendar.next_due_micros(self.state, self.rules)

    def advance(self, now_micros: int, budget: int) -> Effects:
        """Do what is due: months, wallets, digests, reviews of members after a change that touches them all."""
        self._start_chunk(now_micros)
        for _ in range(budget):
            events = calendar.advance(self.state, self.rules, now_micros)
            if events is None:
                break
            self._outputs.publish(events)
            if self.state.reviews or self._outputs.size_bytes > MAX_ADVANCE_BYTES:
                break  # a slice, or as much as this, is what the loop should be held for
        self.charging.time_moved()
        return self.finish()

    def idle(self, now_micros: int) -> Effects:
        """Publish the clock and held-back status; let go of what is no longer needed."""
        self._start_chunk(now_micros)
        self._outputs.status(self.statuses.due(now_micros))
        self._forget(_FORGET_WHEN_IDLE)
        return Effects(outputs=self._outputs.by_topic, cells=self.state.take_changes())

    def begin(self, now_micros: int, quarantined: frozenset[Place]) -> None:
        """Start a chunk."""
        self._start_chunk(now_micros)
        self._quarantined = quarantined

    def take(self, run: Run) -> bool:
        """Process a slice of records; False when the chunk has become large enough."""
        self._stages.begin("rules")
        takes_more = self._take_commands(run.records) if run.input == "commands" else self._take_usage_run(run.records)
        self._stages.begin(None)
        return takes_more

    def _take_usage_run(self, records: Sequence[InputRecord]) -> bool:
        while records:
            count = self._before_due(records)
            if not count or not self._take_usage(records[:count]):
                return False
            records = records[count:]
        return True

    def _take_commands(self, records: Sequence[InputRecord]) -> bool:
        for record in records:
            if not self._before_due([record]):
                return False
            self._command(record)
            self._taken += 1
            if self._is_full() or self.state.reviews:
                return False
        return True

    def _before_due(self, records: Sequence[InputRecord]) -> int:
        """How many records come before what this chunk itself made, or may make, due (R44).

        The engine cut the chunk by what was due when it began. Since then a grant may have been given that expires
        soon; and a reload that usage asks for goes unanswered a day later.
        """
        due_micros = calendar.wallet_due_micros(self.state)
        stop_micros = min(due_micros, records[0].timestamp * 1000 + ANSWER_MICROS)
        if max([record.timestamp for record in records]) * 1000 < stop_micros:
            return len(records)
        arrivals = [arrival_micros(record) for record in records]
        if arrivals[0] >= due_micros:
            return 0
        return next((count for count, arrived in enumerate(arrivals) if count and arrived >= stop_micros), len(records))

    def _take_usage(self, records: Sequence[InputRecord]) -> bool:
        self._stages.begin("decode")
        if (batch := self._decode_together(records)) is not None:
            self._usage(records, [0] * len(records), batch, len(records))
            return not self._is_full()
        first = 0
        events: list[Decoded] = []
        places: list[tuple[InputRecord, int]] = []
        for number, record in enumerate(records, start=1):
            decoded = self._decode(record)
            events += decoded
            places += [(record, index) for index in range(len(decoded))]
            if len(events) >= GROUP_EVENTS or number == len(records):
                indexes = [index for _, index in places]
                self._usage([record for record, _ in places], indexes, batch_of(events), number - first)
                first, events, places = number, [], []
                if self._is_full():
                    return False
        return True

    def _decode_together(self, records: Sequence[InputRecord]) -> Batch | None:
        with suppress(Exception):  # a bug: one by one, it is known whose it is
            return decode_singles([record.value for record in records])
        return None

    def _decode(self, record: InputRecord) -> list[Decoded]:
        try:
            return decode_record(record.value)
        except Exception as error:
            place = Place("usage", record.offset, 0)
            if place in self._quarantined:
                return [BadEvent(Reason.INTERNAL_ERROR, _BUG, record.value or b"", {})]
            raise EventFailed(place, error) from error

    def finish(self) -> Effects:
        """Everything the chunk wants written."""
        self._stages.begin("encode")
        state, outputs = self.state, self._outputs
        while state.billing and outputs.size_bytes < MAX_ADVANCE_BYTES:
            outputs.publish(billing.bill_next(state, self.rules))
        outputs.rows(self.charging.rows)
        outputs.publish(settle_all(state, self._last_arrival_micros))
        outputs.status(self.statuses.due(self._now_micros))
        self._forget(_FORGET_WITH_A_CHUNK)
        counts = state.counters.snapshot()
        if counts != self._counts_before:
            _check(state.counters)
            state.touch(state.counters)
        cells = state.take_changes()
        self._stages.begin(None)
        return Effects(
            taken=self._taken,
            outputs=outputs.by_topic,
            cells=cells,
            identities=self._fresh,
            forwards=self._forwards,
            counts={
                name: after - before
                for name, before, after in zip(Counters.NAMES, self._counts_before, counts, strict=True)
                if after != before
            },
            rejected=self._rejected,
            published=outputs.published,
            seconds=self._stages.seconds,
        )

    # Usage.

    def _usage(self, records: Sequence[InputRecord], indexes: Sequence[int], batch: Batch, records_read: int) -> None:
        """Charge a batch of events; their identities are looked up together.

        Args:
            records: the record of each event.
            indexes: of the events in their records.
            records_read: how many different records these are.
        """
        if self.state.billing:
            for decoded in batch.events:
                if not isinstance(decoded, BadEvent):
                    self._bill(decoded.org_id)
        counters, fresh, quarantined = self.state.counters, self._fresh, self._quarantined
        charging = self.charging
        organizations, charge, rows = self.state.organizations, charging.charge, charging.rows
        pieces_before = len(rows)
        self._stages.begin("dedup")
        known = self.identities.look_up(batch.keys)
        self._stages.begin("rules")
        event: Any  # a Usage once it is no BadEvent; told apart by a type check that costs nothing
        for record, index, event, occurred, key, payload, digest, remembered in zip(
            records,
            indexes,
            batch.events,
            batch.occurred_at_micros,
            batch.keys,
            batch.payloads,
            batch.digests,
            known,
            strict=True,
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
                if key in fresh:
                    remembered = fresh[key]
                if remembered is not None:
                    _refuse_conflict(event, digest, remembered)
                    counters.duplicates += 1
                    continue
                # By its own stamp, not by when its chunk began: what begins to run with it goes by no cut.
                arrived = charging.clock_micros = record.timestamp * 1000
                first = None
                if record.headers:
                    arrived, first = arrival_micros(record), self._elsewhere(record, index)
                if event.corrects is None:
                    fresh[key] = digest + charge(
                        organization, event, occurred, payload, arrived, record.offset, index, first
                    )
                else:
                    self._correct(organization, event, digest, occurred, arrived, record.offset, index, first)
            except Rejected as rejected:
                self._reject(record, index, event, rejected)
            except InvariantBroken:
                raise
            except Exception as error:
                raise EventFailed(Place("usage", record.offset, index), error) from error
            if charging.events:
                self._outputs.publish(charging.events)
                charging.events.clear()
        pieces = rows[pieces_before:]
        charged = len(pieces) // 2
        corrected = self._corrected
        self._corrected = 0
        self._last_arrival_micros = max(self._last_arrival_micros, records[-1].timestamp * 1000)
        self._bytes += sum(map(len, pieces))
        self._events += len(batch.events)
        self._taken += records_read
        counters.usage_records += records_read
        counters.usage_events += len(batch.events)
        counters.accepted += charged - corrected
        counters.corrections += corrected
        counters.rows += charged
        self._stages.begin("decode")

    def _correct(
        self,
        organization: Organization,
        usage: Usage,
        digest: bytes,
        occurred_at_micros: int,
        arrived_at_micros: int,
        offset: int,
        index: int,
        first: tuple[str, int, int, int] | None,
    ) -> None:
        """Book a correction (R15).

        Raises:
            Rejected: it is no correction of an event that was taken and stands.
        """
        member = self.charging.member_of(organization, usage, occurred_at_micros, arrived_at_micros)
        original = find_original(usage, self._remembered)
        corrections.check(usage, original)
        corrections.correct(
            self.charging, organization, member, usage, original, arrived_at_micros, offset, index, first
        )
        self._corrected += 1
        self._fresh |= identities_of(usage, digest, original, self._remembered)

    def _remembered(self, key: bytes) -> bytes | None:
        """What is remembered of an identity, of this chunk or earlier; None if it is new."""
        return self._fresh.get(key) or self.identities.look_up([key])[0]

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
        so_far, first = self._rejected.get(rejected.reason, (0, Place("usage", record.offset, index)))
        self._rejected[rejected.reason] = Rejections(so_far + 1, first)
        found = self._found(record, index)
        if isinstance(event, BadEvent):
            letter = dead_letters.of_bad_event(event, found)
        else:
            raw = raw_event(record.value or b"", index)
            letter = dead_letters.of_usage(event, raw, rejected.reason, str(rejected), found)
        self._outputs.dead_letter(letter)

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
        is_set_aside = Place("commands", record.offset, 0) in self._quarantined
        try:
            command = read_command(raw)
        except Exception:
            if not is_set_aside:
                raise
            command = UnreadableCommand(Reason.INTERNAL_ERROR, _BUG)
        if isinstance(command, UnreadableCommand):
            counters.commands_unreadable += 1
            found = self._found(record, 0, ACCOUNT_COMMANDS.name)
            self._outputs.dead_letter(dead_letters.of_command(raw, command.reason, command.detail, found))
            return
        head = command.head if isinstance(command, InvalidCommand) else command
        if head.org_id not in self.state.organizations and self._is_foreign(head.org_id):
            counters.commands_forwarded += 1
            self._forwards.append(Forward("commands", head.org_id.encode(), raw, record, 0))
            self._bytes += len(raw)
            return
        self._bill(head.org_id)
        if is_set_aside:
            self._refuse(head, "internal_error", _BUG, arrived)
            return
        if isinstance(command, InvalidCommand):
            self._refuse(head, "invalid", command.detail, arrived)
            return
        events, outcome = accounts.apply(self.state, command, arrived, self.rules, record.timestamp * 1000)
        setattr(counters, f"commands_{outcome}", getattr(counters, f"commands_{outcome}") + 1)
        self._log(command, outcome)
        self._outputs.publish(events)

    def _refuse(self, head: Command | CommandHead, reason: str, detail: str, at_micros: int) -> None:
        self.state.counters.commands_refused += 1
        self._log(head, "refused")
        self._outputs.publish([accounts.refuse(self.state, head, reason, detail, at_micros)])

    def _log(self, head: Command | CommandHead, outcome: str) -> None:
        """A line, not a promise: the transaction is not committed yet."""
        said = {"command_id": head.command_id, "command": head.command, "org_id": head.org_id}
        log.info("command %s", outcome, extra=fields(**said, partition=self.partition))

    # Small things.

    def _bill(self, org_id: str) -> None:
        """Before anything else happens to an organisation, it is billed for the month's end or close gone by."""
        if org_id in self.state.billing:
            self._outputs.publish(billing.bill(self.state, self.state.organizations[org_id], self.rules))

    def _start_chunk(self, now_micros: int) -> None:
        self._now_micros = now_micros
        self._last_arrival_micros = now_micros
        self._corrected = 0
        self._taken: int = 0
        self._bytes: int = 0
        self._events: int = 0
        self.charging.rows = []
        self._outputs = Outputs()
        self._stages = Stages()
        self._forwards: list[Forward] = []
        self._fresh: dict[bytes, bytes] = {}
        self._rejected: dict[str, Rejections] = {}
        self._quarantined = frozenset()
        self._counts_before = self.state.counters.snapshot()

    def _forget(self, budget: int) -> None:
        accounts.forget(self.state, self._now_micros, self.rules.horizon_micros, budget)
        self.state.forget_some(budget)

    def _is_full(self) -> bool:
        return self._bytes + self._outputs.size_bytes > MAX_CHUNK_BYTES or self._events > MAX_CHUNK_EVENTS

    def _is_foreign(self, org_id: str) -> bool:
        return partition_of(org_id.encode(), self.partitions) != self.partition

    def _found(self, record: InputRecord, index: int, topic: str = USAGE_EVENTS.name) -> dead_letters.Found:
        first = origin(record, topic, self.partition, index)
        return dead_letters.Found(
            letter_id=dead_letters.letter_id(topic, self.partition, record.offset, index),
            origin=Origin(topic=first.topic, partition=first.partition, offset=first.offset, index=first.index),
            arrived_at_micros=arrival_micros(record),
        )

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
    if counters.rows != counters.accepted + counters.corrections:
        raise InvariantBroken(f"{counters.accepted} events, {counters.corrections} corrections, {counters.rows} rows")
    if counters.usage_events != accounted:
        raise InvariantBroken(f"{counters.usage_events} usage events were read, {accounted} are accounted for")
