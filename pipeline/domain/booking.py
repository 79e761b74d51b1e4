"""Booking: an amount and its reason come in; lots, balances and the entries that say so go out.

While nothing waits to be burnt, what the lots hold is the balance, or 0 where the balance is a debt: a debt has no lot,
the next credit nets it first, and until then no lot holds anything. Every booking checks that before it moves anything.
Source: docs/rules.md R4, R38-R38b.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.domain.state import Organization, State
from pipeline.domain.wallet_state import Lot, LotKind, Wallet
from schemas.events import Crossing, LedgerEvent, event_id
from schemas.ledger import Account, EntryCause, EntryType, LedgerEntry
from schemas.month import Month


@dataclass(slots=True)
class Booking:
    """One occasion on which a wallet or an account changes, and what is published of it, in order.

    `at_micros` is the arrival of the record that caused it, or the instant that fell due; outputs bear it. A redriven
    record arrived long ago, so what begins to run now (24 hours for a reload) begins at `clock_micros`, its
    record's own stamp, where that is later. `crossing` is the event whose charge is looked at, if one is.
    """

    state: State
    organization: Organization
    wallet: Wallet
    at_micros: int
    cause: EntryCause | None = None
    clock_micros: int = 0
    crossing: Crossing | None = None
    events: list[LedgerEvent] = field(default_factory=list)

    @property
    def month(self) -> str:
        """The month that runs: what is no usage is booked in it."""
        return self.state.calendar.month

    @property
    def now_micros(self) -> int:
        """From when on something that begins now runs."""
        return max(self.at_micros, self.clock_micros)

    def number(self) -> int:
        """The next `org_seq`."""
        self.state.touch(self.organization)
        return self.organization.next_seq()

    def stamp(self) -> dict[str, Any]:
        """What every event says, with a number of its own."""
        return {"org_id": self.wallet.org_id, "org_seq": self.number(), "at_micros": self.at_micros}

    def enter(
        self,
        entry_type: EntryType,
        amount_picousd: int,
        lot_id: str | None,
        balance_after_picousd: int,
        charge_month: str,
        *,
        account: Account = "wallet",
        cause: EntryCause | None = None,
    ) -> None:
        """Publish one entry, under the `org_seq` that stands: only a burn does not call `number` before."""
        cause = cause or self.cause
        assert cause is not None, f"an entry of {self.wallet.org_id} without a cause"
        self.events.append(
            LedgerEntry(
                org_id=self.wallet.org_id,
                org_seq=self.organization.org_seq,
                at_micros=self.at_micros,
                type=entry_type,
                account=account,
                amount_picousd=amount_picousd,
                balance_after_picousd=balance_after_picousd,
                charge_month=Month.parse(charge_month),
                lot_id=lot_id,
                cause=cause,
            )
        )
        if account == "wallet":
            self.state.month_of_wallet(self.wallet, charge_month).add(entry_type, amount_picousd)

    def enter_unbilled(self, entry_type: EntryType, amount_picousd: int, charge_month: str) -> None:
        """Book on `unbilled`; nothing where the amount is 0."""
        if amount_picousd:
            self.number()
            self.organization.unbilled_picousd += amount_picousd
            after = self.organization.unbilled_picousd
            self.enter(entry_type, amount_picousd, None, after, charge_month, account="unbilled")

    def enter_receivable(self, entry_type: EntryType, amount_picousd: int, charge_month: str) -> None:
        """Book on `receivable`; nothing where the amount is 0."""
        if amount_picousd:
            self.number()
            self.organization.receivable_picousd += amount_picousd
            after = self.organization.receivable_picousd
            self.enter(entry_type, amount_picousd, None, after, charge_month, account="receivable")


def credit(
    booking: Booking,
    entry_type: EntryType,
    kind: LotKind,
    amount_picousd: int,
    *,
    expires_at_micros: int | None = None,
    cause: EntryCause | None = None,
    charge_month: str | None = None,
) -> Lot:
    """Add an amount as a lot of its own; what the balance is below zero is netted first (R4).

    A credit by correction is a burn that gives back: like every burn it has the number of its row (R38a, R41).
    """
    wallet = booking.wallet
    check_settled(wallet, wallet.balance_picousd)
    added_seq = booking.organization.org_seq if entry_type == "burn" else booking.number()
    wallet.balance_picousd += amount_picousd
    lot = Lot(
        org_id=wallet.org_id,
        lot_id=event_id("usage-credits.lot", wallet.org_id, added_seq),
        kind=kind,
        amount_picousd=amount_picousd,
        rest_picousd=max(0, min(amount_picousd, wallet.balance_picousd)),
        added_seq=added_seq,
        expires_at_micros=expires_at_micros,
    )
    if lot.rest_picousd:
        wallet.lots[lot.lot_id] = lot
        booking.state.touch(lot)
    booking.state.touch(wallet)
    month = charge_month or booking.month
    booking.enter(entry_type, amount_picousd, lot.lot_id, wallet.balance_picousd, month, cause=cause)
    return lot


def debit(booking: Booking, entry_type: EntryType, amount_picousd: int) -> None:
    """Take an amount out in the order of burning, an entry per lot; what no lot covers is debt."""
    wallet = booking.wallet
    check_settled(wallet, wallet.balance_picousd)
    for lot_id, piece_picousd in take_out(booking, amount_picousd):
        booking.number()
        wallet.balance_picousd -= piece_picousd
        booking.enter(entry_type, -piece_picousd, lot_id, wallet.balance_picousd, booking.month)
    booking.state.touch(wallet)


def debit_lot(
    booking: Booking, entry_type: EntryType, lot: Lot, amount_picousd: int, *, cause: EntryCause | None = None
) -> None:
    """Take an amount out of one lot, which holds as much."""
    wallet = booking.wallet
    check_settled(wallet, wallet.balance_picousd)
    booking.number()
    wallet.balance_picousd -= amount_picousd
    _take_from(booking, lot, amount_picousd)
    booking.state.touch(wallet)
    booking.enter(entry_type, -amount_picousd, lot.lot_id, wallet.balance_picousd, booking.month, cause=cause)


def take_out(booking: Booking, amount_picousd: int) -> Iterator[tuple[str | None, int]]:
    """Empty lots in the order of burning: which lot gave how much; the last piece may have none, it is debt."""
    for lot in sorted(booking.wallet.lots.values(), key=Lot.burns):
        if not amount_picousd:
            return
        piece_picousd = min(lot.rest_picousd, amount_picousd)
        amount_picousd -= piece_picousd
        _take_from(booking, lot, piece_picousd)
        yield lot.lot_id, piece_picousd
    if amount_picousd:
        yield None, amount_picousd


def check_settled(wallet: Wallet, balance_picousd: int) -> None:
    """Hold lots and balance together: a burn left out, or given twice, shows here at the latest."""
    unburnt = wallet.unburnt_picousd()
    assert unburnt == max(balance_picousd, 0), (
        f"{wallet.org_id}: lots hold {unburnt}, the balance is {balance_picousd} picodollars; was usage left unburnt?"
    )


def _take_from(booking: Booking, lot: Lot, amount_picousd: int) -> None:
    assert 0 < amount_picousd <= lot.rest_picousd, f"{lot.rest_picousd} of lot {lot.lot_id} is no {amount_picousd}"
    lot.rest_picousd -= amount_picousd
    if not lot.rest_picousd:
        del booking.wallet.lots[lot.lot_id]
    booking.state.touch(lot)
