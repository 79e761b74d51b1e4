"""A wallet for tests: one organisation, dollars in plain sight, everything published kept in order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pipeline.domain import wallet as rules
from pipeline.domain.booking import Booking
from pipeline.domain.cell import Cell
from pipeline.domain.state import Organization, State
from pipeline.domain.wallet_state import Lot, Payment, Reload, Wallet
from schemas.events import Crossing, LedgerEvent
from schemas.ledger import EntryCause, LedgerEntry
from schemas.money import picousd_from_usd
from schemas.month import Month
from tests.support.builders import NOON, micros

CROSSING = Crossing(event_id="e-1", source="", input_partition=0, input_offset=7, input_index=0)
"""The event that `uses` charges, whichever it is."""

Event = TypeVar("Event", bound=LedgerEvent)


def usd(dollars: str | int) -> int:
    """Picodollars of dollars as people write them."""
    return picousd_from_usd(str(dollars))


@dataclass
class Purse:
    """`acme`'s wallet on the day NOON is in; each call is one occasion, and its events are added to `events`."""

    plan: str = "team"
    month: str = "2026-05"
    at: str = NOON
    events: list[LedgerEvent] = field(default_factory=list)
    unburnt: dict[str, int] = field(default_factory=dict)
    _commands: int = 0

    def __post_init__(self) -> None:
        self.state = State()
        self.state.calendar.month = self.month
        self.state.calendar.closed_through = "2026-03"
        self.organization = Organization(org_id="acme", plan=self.plan)
        self.wallet = Wallet(org_id="acme")
        self.does(rules.plan_changed)

    def does(self, rule: Any, *what: Any, **how: Any) -> list[LedgerEvent]:
        """One command, with whatever usage waits settled before."""
        self.settle()
        self._commands += 1
        cause = EntryCause(kind="command", id=f"c-{self._commands}")
        booking = Booking(self.state, self.organization, self.wallet, micros(self.at), cause)
        events: list[LedgerEvent] = rule(booking, *what, **how)
        self.events += events
        return events

    def uses(self, dollars: str | int, month: str | None = None) -> list[LedgerEvent]:
        """One event is charged, as the hot path does it: a row's number, the balance, the watch."""
        self.organization.next_seq()
        wallet, cost = self.wallet, usd(dollars)
        wallet.balance_picousd -= cost
        month = month or self.state.calendar.month
        self.unburnt[month] = self.unburnt.get(month, 0) + cost
        if wallet.balance_picousd > wallet.watch_picousd:
            return []
        events = rules.wallet_fell(self.state, self.organization, wallet, micros(self.at), CROSSING)
        self.events += events
        return events

    def settle(self) -> list[LedgerEvent]:
        """The chunk ends."""
        waiting, self.unburnt = self.unburnt, {}
        if not waiting:
            return []
        cause = EntryCause(kind="usage", id="last")
        events = rules.burn(Booking(self.state, self.organization, self.wallet, micros(self.at), cause), waiting)
        self.events += events
        return events

    def waits_until(self, instant: str) -> list[LedgerEvent]:
        """Ledger time goes on: months turn and what is due falls due, in order, months first."""
        self.settle()
        events: list[LedgerEvent] = []
        now = micros(instant)
        while True:
            turns, due = Month.parse(self.state.calendar.month).end_micros, self.wallet.due_micros
            if turns <= min(now, due if due is not None else now):
                self.state.calendar.month = str(Month.parse(self.state.calendar.month).next())
            elif due is not None and due <= now:
                events += rules.fall_due(self.state, self.organization, self.wallet)
            else:
                break
        self.at = instant
        self.events += events
        return events

    def moves_to(self, plan: str) -> list[LedgerEvent]:
        self.settle()
        self.organization.plan = plan
        return self.does(rules.plan_changed)

    def told(self, kind: type[Event]) -> list[Event]:
        """All events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def entries(self) -> list[LedgerEntry]:
        return self.told(LedgerEntry)

    def moved(self) -> list[tuple[str, int]]:
        """Type and amount of every entry so far."""
        return [(entry.type, entry.amount_picousd) for entry in self.entries]

    @property
    def lots(self) -> list[Lot]:
        """In the order of burning."""
        return sorted(self.wallet.lots.values(), key=Lot.burns)

    def rests(self) -> list[int]:
        return [lot.rest_picousd for lot in self.lots]


def kinds(events: list[LedgerEvent]) -> list[str]:
    """What was published, by type; an entry by its own."""
    return [
        event.type if isinstance(event, LedgerEntry) else event.TYPE.removeprefix("usage-credits.") for event in events
    ]


WALLET_CELLS: tuple[type[Cell], ...] = (Wallet, Lot, Payment, Reload)


def put_together(cells: Iterable[Cell]) -> dict[str, Wallet]:
    """Restored cells of wallets, in any order, as wallets by `org_id`; their watches are still to be set."""
    parts = list(cells)
    wallets = {cell.org_id: cell for cell in parts if isinstance(cell, Wallet)}
    for part in parts:
        if isinstance(part, Lot):
            wallets[part.org_id].lots[part.lot_id] = part
        elif isinstance(part, Payment):
            wallets[part.org_id].payments[part.payment_id] = part
        elif isinstance(part, Reload):
            wallets[part.org_id].reloads[part.reload_id] = part
    return wallets
