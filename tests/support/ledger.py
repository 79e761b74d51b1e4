"""The ledger without Kafka, as tests want it: wire objects come in, models of what it wrote go out.

Where chunks are cut is up to the test; each may be worked through by a worker that has just taken over.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pipeline import replay
from pipeline.domain.pricing import CompiledPrices
from pipeline.engine.contract import Effects, Forward, Input
from pipeline.price_book import load_price_book
from pipeline.replay import Record, read_event
from schemas.admission import Decision, decide
from schemas.dead_letters import DeadLetter
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
)
from schemas.priced import PricedUsage
from schemas.status import read_status, status_key
from tests.support.builders import NOON, Wire, add_member, as_json, micros, register, set_credits

__all__ = ["LedgerInMemory", "Record", "acme", "packaged_prices"]


@cache
def packaged_prices() -> CompiledPrices:
    return CompiledPrices(load_price_book())


@dataclass(kw_only=True)
class LedgerInMemory(replay.LedgerInMemory):
    """One partition's ledger. `chunk_sizes` says how many records the next chunk may have; None: all there are.

    Without `patient` the next record does not wait for what is due and may wait, as when records keep coming.
    With `reborn` it is restored from its cells before every chunk, as by a worker that has just taken over.
    """

    prices: CompiledPrices = field(default_factory=packaged_prices)
    advance_budget: int = 3  # few, so that tests see the calendar move in steps
    chunk_sizes: Callable[[], int] | None = None
    reborn: bool = False
    patient: bool = True

    identities: dict[bytes, bytes] = field(default_factory=dict)
    forwards: list[Forward] = field(default_factory=list)
    chunks: int = 0

    # What goes in.

    def usage(self, *wires: object, at: str = NOON, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """A record per object; bytes are sent as they are."""
        self.process([self.record("usage", wire, micros(at), headers) for wire in wires])

    def commands(self, *wires: object, at: str = NOON, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self.process([self.record("commands", wire, micros(at), headers) for wire in wires])

    def record(
        self, to: Input, wire: object, arrived_at_micros: int, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Record:
        """The next record of an input."""
        assert arrived_at_micros % 1000 == 0, "Kafka's clock has milliseconds"
        value = wire if isinstance(wire, bytes | None) else as_json(wire)
        return super().record(to, value, arrived_at_micros, headers)

    def process(self, records: Sequence[Record], chunk_size: Callable[[], int] | None = None) -> None:
        """Work the records through, in this order."""
        super().process(records, chunk_size or self.chunk_sizes)

    def wait_until(self, instant: str) -> None:
        """Nothing comes until then."""
        self.move_to(micros(instant))

    def _catch_up_with_the_rest(self) -> None:
        if self.patient:
            super()._catch_up_with_the_rest()

    def _chunk(self, records: Sequence[Record]) -> int:
        if self.reborn:
            self.restart()
        self.chunks += 1
        return super()._chunk(records)

    def _commit(self, effects: Effects, last_arrival_micros: int = 0) -> None:
        super()._commit(effects, last_arrival_micros)
        self.identities |= effects.identities
        self.forwards += effects.forwards

    # What comes out.

    def published(self, org_id: str) -> list[LedgerEvent | PricedUsage]:
        """Rows and events of an organisation in the order of `org_seq`; burns beside the row whose number they bear."""
        topics = ("limit-breaches", "account-events", "ledger-entries", "invoices", "reload-requests", "notifications")
        events = [read_event(value) for topic in topics for value in self.outputs.get(topic, ())]
        found = [what for what in [*self.rows, *events] if what.org_id == org_id]
        return sorted(found, key=lambda what: what.org_seq)

    def decision_from_status(self, org_id: str, user_id: str, at_micros: int) -> Decision:
        """What a product says that has nothing but `credit-status`."""
        status = self.latest.get("credit-status", {})

        def record(kind: str, *identity: str) -> Any:
            key = status_key(kind, *identity)
            return read_status(key, status[key]) if key in status else None

        member = record("member", org_id, user_id)
        tier = record("tier", org_id, member.seat_tier) if member is not None else None
        return decide(record("org", org_id), tier, member, at_micros)

    @property
    def rows(self) -> list[PricedUsage]:
        return [PricedUsage.model_validate_json(line) for line in self.row_lines]

    @property
    def row_lines(self) -> list[bytes]:
        return b"".join(self.outputs.get("priced-usage", ())).splitlines()

    @property
    def dead_letters(self) -> list[DeadLetter]:
        return [DeadLetter.model_validate_json(value) for value in self.outputs.get("dead-letters", ())]

    @property
    def limit_events(self) -> list[LimitBreached | LimitResumed]:
        return self._events("limit-breaches")

    @property
    def breaches(self) -> list[LimitBreached]:
        return [found for found in self.limit_events if isinstance(found, LimitBreached)]

    @property
    def resumes(self) -> list[LimitResumed]:
        return [found for found in self.limit_events if isinstance(found, LimitResumed)]

    @property
    def answers(self) -> list[CommandApplied | CommandRefused | CommandRepeated]:
        return self._events("account-events")

    def _events(self, topic: str) -> list[Any]:
        return list(map(read_event, self.outputs.get(topic, ())))

    def envelopes(self, topic: str) -> list[Wire]:
        return [json.loads(value) for value in self.outputs.get(topic, ())]

    def cell(self, *key: str) -> Wire:
        """A state cell by its key: kind, then identity."""
        found: Wire = json.loads(self.cells[json.dumps(key, separators=(",", ":")).encode()])
        return found

    def spend_picousd(self, *key: str) -> int:
        """Month to date of a cell; 0 where there is none yet."""
        raw = self.cells.get(json.dumps(key, separators=(",", ":")).encode())
        return int(json.loads(raw).get("spend_picousd", "0")) if raw else 0

    @property
    def counters(self) -> dict[str, int]:
        return {name: count for name, count in self.cell("counters").items() if name != "cell"}


def acme(at: str = "2026-05-01T00:00:00Z", **how: Any) -> LedgerInMemory:
    """A ledger that knows the organisation `acme`, its primary owner and the member `ann`, credits on, no limit."""
    ledger = LedgerInMemory(**how)
    ledger.commands(register(), set_credits(), add_member("ann"), at=at)
    return ledger
