"""A history goes through the ledger and through the auditor; the first thing in which they disagree is raised.

How records are cut into transactions and whether the ledger starts anew before each is part of the comparison: it must
not matter. After every transaction the invariants are looked at too. It knows the ledger's words and puts them into the
auditor's.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest.mock import patch

from pipeline.agents import ledger_machine
from pipeline.domain.pricing import CompiledPrices
from pipeline.domain.rules import Rules
from pipeline.engine.contract import Effects
from schemas.admission import decide
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    CreditsPaused,
    CreditsResumed,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
)
from schemas.invoices import (
    CreditNoteIssued,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    InvoiceLine,
    PaymentReceived,
    StatementIssued,
    UsageLine,
)
from schemas.ledger import LedgerEntry, PurchaseRequested, ReloadRequested
from schemas.notifications import AutoReloadSuspended, BalanceLow, RequestsDigest, ThresholdReached
from schemas.priced import PricedUsage
from tests.support.auditor import Auditor, Said, outputs
from tests.support.auditor.basics import DAY, SECOND
from tests.support.auditor.invariants import Broken, Invariants, Published, Written, scope_of
from tests.support.ledger import LedgerInMemory, Record, packaged_prices


class Disagreement(AssertionError):
    """What the two sides say of one thing.

    Attributes:
        kinds: what it is about; two disagreements that share one are of the same kind.
        where: the organisation and what of it is compared.
    """

    def __init__(self, kinds: set[str], where: str, ledger: object, auditor: object) -> None:
        super().__init__(f"{where}\n  ledger   {ledger}\n  auditor  {auditor}")
        self.kinds = frozenset(kinds)
        self.where = where


class Way(NamedTuple):
    """How a history is worked through, and by which rules.

    Attributes:
        sizes: how large its transactions may be, by chance.
        reborn: it restarts before each.
        hurried: records keep coming, so organisations are billed one a transaction, or as something happens to them.
    """

    sizes: tuple[int, ...]
    reborn: bool
    seed: int = 0
    hurried: bool = False
    grace_hours: int = 72
    suppress_zero_invoices: bool = True

    def auditor(self) -> Auditor:
        return Auditor(self.grace_hours, suppress_zero_invoices=self.suppress_zero_invoices)

    def __str__(self) -> str:
        sizes = " or ".join(map(str, self.sizes))
        how = ", restarting before each" * self.reborn + ", billing in a hurry" * self.hurried
        return f"transactions of at most {sizes} records{how}"


def way_of(seed: int) -> Way:
    """A sixth step record by record, so that the invariants are looked at after each; a fifth have other rules."""
    sizes = (1,) if seed % 6 == 1 else (1, 2, 5, 40, 300)
    grace_hours = {4: 0, 9: 20 * 24}.get(seed % 10, 72)
    return Way(sizes, seed % 3 == 0, seed, seed % 4 >= 2, grace_hours, seed % 10 != 4)


@dataclass(kw_only=True)
class WatchedLedger(LedgerInMemory):
    """The ledger, its invariants looked at after every transaction."""

    prices: CompiledPrices = field(default_factory=packaged_prices)
    invariants: Invariants = field(default_factory=Invariants)

    def _commit(self, effects: Effects, last_arrival_micros: int = 0) -> None:
        super()._commit(effects, last_arrival_micros)
        self.invariants.step(effects, self.now_micros)

    def tell_all(self) -> None:
        """Ten seconds on, though nothing falls due: who is still to be billed is, and status held back is told."""
        self.patient = True
        self.move_to(self.now_micros)
        self._commit(self.machine.idle(self.now_micros + 10 * SECOND))


def compare(history: Sequence[Said], way: Way, auditor: Auditor | None = None) -> None:
    """Both sides take the whole history.

    Args:
        auditor: one that took it already, by whose rules it goes; else by those of the way.

    Raises:
        Disagreement: the first there is.
    """
    if auditor is None:
        auditor = audited(history, way)
    ledger = WatchedLedger(
        chunk_sizes=_sizes(way),
        reborn=way.reborn,
        patient=not way.hurried,
        rules=Rules(
            grace_hours=auditor.grace_hours,
            digest_hour=auditor.digest_hour,
            suppress_zero_invoices=auditor.suppress_zero_invoices,
        ),
        invariants=Invariants(lags=way.hurried),
    )
    enough = 1 if way.hurried else ledger_machine.MAX_ADVANCE_BYTES
    try:
        with patch.object(ledger_machine, "MAX_ADVANCE_BYTES", enough):
            _work_through(ledger, history, auditor.now)
        ledger.tell_all()
    except Broken as broken:
        what = " and ".join(sorted(broken.names)).replace("_", " ")
        raise Disagreement(broken.names, f"an invariant does not hold: {what}", broken, "-") from broken
    except Exception as error:
        raise Disagreement({f"ledger {type(error).__name__}"}, "the ledger failed", repr(error), "-") from error
    invariants = ledger.invariants
    for org_id in auditor.organizations:
        written = invariants.organizations.get(org_id) or Written(org_id)
        lots = _lot_numbers(written.published)
        _compare_published(written, auditor, lots)
        _compare_money(written, ledger, auditor, lots)
        _compare_decisions(written, auditor)
    _equal(
        "dead letters",
        "everywhere",
        [(letter.org_id, letter.event_id, letter.reason.value) for letter in ledger.dead_letters],
        [(org_id, event_id, reason) for org_id, _, event_id, reason in auditor.dead],
    )
    _equal(
        "answers",
        "about organisations nobody knows",
        [(answer.org_id, _said(answer, {})) for answer in invariants.unknown],
        auditor.unknown,
    )


def audited(history: Sequence[Said], way: Way) -> Auditor:
    """The auditor that took it.

    Raises:
        Disagreement: it disagrees with itself.
    """
    try:
        return way.auditor().take_all(history)
    except Exception as error:
        raise Disagreement({f"auditor {type(error).__name__}"}, "the auditor failed", "-", repr(error)) from error


def _sizes(way: Way) -> Any:
    chance = random.Random(way.seed)
    return lambda: chance.choice(way.sizes)


def _work_through(ledger: WatchedLedger, history: Sequence[Said], until: int) -> None:
    records: list[Record] = []
    for at, kind, body in history:
        if kind == "tick":
            ledger.process(records)
            records = []
            ledger.move_to(at)
        else:
            records.append(ledger.record("commands" if kind == "command" else "usage", body, at))
    ledger.process(records)
    ledger.move_to(until)


def _equal(what: str, where: str, ledger: object, auditor: object) -> None:
    if ledger != auditor:
        raise Disagreement({what}, f"{where}: {what}", ledger, auditor)


def _compare_published(written: Written, auditor: Auditor, lots: dict[str, int]) -> None:
    """Everything but burns, number by number."""
    found = {event.org_seq: _said(event, lots) for event in written.published if not _is_burn(event)}
    expected = dict(enumerate(auditor.published(written.org_id), start=1))
    for org_seq in range(1, max([*found, *expected], default=0) + 1):
        ours, right = found.get(org_seq), expected.get(org_seq)
        if ours != right:
            kinds = {type(said).__name__ for said in (ours, right) if said is not None}
            raise Disagreement(kinds, f"{written.org_id}, org_seq {org_seq}", ours, right)


def _compare_money(written: Written, ledger: LedgerInMemory, auditor: Auditor, lots: dict[str, int]) -> None:
    """Burns are settled a transaction at a time, so their sums are compared, by month and by lot (R38a, R41)."""
    by_month: Counter[tuple[str, str]] = Counter()
    by_lot: Counter[int | None] = Counter()
    for event in written.published:
        if isinstance(event, LedgerEntry) and event.type == "burn":
            by_month[event.account, str(event.charge_month)] += event.amount_picousd
            if event.account == "wallet":
                by_lot[lots[event.lot_id] if event.lot_id else None] += event.amount_picousd
    right_by_month: Counter[tuple[str, str]] = Counter()
    right_by_lot: Counter[int | None] = Counter()
    org_id = written.org_id
    for (account, month, lot), amount in auditor.burns(org_id).items():
        right_by_month[account, month] += amount
        if account == "wallet":
            right_by_lot[lot] += amount
    _equal("burns by month", org_id, _not_zero(by_month), _not_zero(right_by_month))
    _equal("burns by lot", org_id, _not_zero(by_lot), _not_zero(right_by_lot))
    wallet = ledger.machine.state.organizations[org_id].wallet
    _equal("balance", org_id, wallet.balance_picousd, auditor.balance(org_id))
    rests = {lots[lot.lot_id]: lot.rest_picousd for lot in wallet.lots.values()}
    _equal("rests of lots", org_id, rests, _not_zero(auditor.lots(org_id)))


def _compare_decisions(written: Written, auditor: Auditor) -> None:
    """From the published status alone, now and after the month's end, as a product with a copy of it would (R34)."""
    org_id, status = written.org_id, written.status
    for at in (auditor.now, auditor.now + 40 * DAY):
        for user_id in [*auditor.organizations[org_id].members, "nobody"]:
            member = status["member"].get((user_id,))
            tier = status["tier"].get((member.seat_tier,)) if member is not None else None
            ours, right = decide(status["org"].get(()), tier, member, at), auditor.decision(org_id, user_id, at)
            said = (ours.allowed, ours.reasons, ours.headroom_picousd)
            _equal("decision", f"{org_id}, {user_id} at {at}", said, (right.allowed, right.reasons, right.headroom))


def _not_zero(amounts: Any) -> dict[Any, int]:
    return {key: amount for key, amount in amounts.items() if amount}


def _is_burn(event: Published) -> bool:
    return isinstance(event, LedgerEntry) and event.type == "burn"


def _lot_numbers(published: Sequence[Published]) -> dict[str, int]:
    """Lots by the order in which they were added: of two in one transaction, by their `org_seq`."""
    numbers: dict[str, int] = {}
    for event in published:
        if isinstance(event, LedgerEntry) and event.amount_picousd > 0 and event.lot_id is not None:
            numbers.setdefault(event.lot_id, len(numbers) + 1)
    return numbers


LEGS = {("", 0): "usage", ("x", 0): "reversal", ("x", 1): "replacement"}


def _said(event: Published, lots: dict[str, int]) -> object:
    """In the auditor's own words."""
    if isinstance(event, PricedUsage):
        return outputs.Row(
            event.source,
            event.event_id,
            LEGS["x" if event.corrects else "", event.leg],
            event.user_id,
            event.seat_tier,
            event.model,
            event.cost_picousd,
            str(event.usage_month),
            str(event.charge_month),
            event.funding,
            event.after_pause,
        )
    if isinstance(event, CommandApplied):
        return outputs.Applied(event.command_id)
    if isinstance(event, CommandRefused):
        return outputs.Refused(event.command_id, event.reason)
    if isinstance(event, CommandRepeated):
        return outputs.Repeated(event.command_id)
    if isinstance(event, LimitBreached):
        crossing = None if event.crossing is None else (event.crossing.source, event.crossing.event_id)
        return outputs.Breach(
            scope_of(event),
            str(event.month),
            event.limit_version,
            event.episode,
            event.cause,
            event.limit_picousd,
            event.spend_picousd,
            event.overshoot_picousd,
            crossing,
            event.paused_from_micros,
            event.paused_until_micros,
        )
    if isinstance(event, LimitResumed):
        return outputs.Resume(
            scope_of(event),
            str(event.month),
            event.limit_version,
            event.episode,
            event.cause,
            event.limit_picousd,
            event.spend_picousd,
        )
    if isinstance(event, ThresholdReached):
        return outputs.Threshold(
            scope_of(event),
            str(event.month),
            event.limit_version,
            event.percent,
            event.spend_picousd,
            event.limit_picousd,
        )
    return _said_of_money(event, lots)


def _said_of_money(event: LedgerEvent, lots: dict[str, int]) -> object:
    if isinstance(event, CreditsPaused):
        return outputs.CreditsPaused(event.pause_number)
    if isinstance(event, CreditsResumed):
        return outputs.CreditsResumed(event.pause_number)
    if isinstance(event, BalanceLow):
        return outputs.BalanceLow(event.balance_picousd, event.threshold_picousd)
    if isinstance(event, ReloadRequested):
        return outputs.ReloadRequested(event.reload_id, event.number, event.amount_picousd, event.balance_picousd)
    if isinstance(event, AutoReloadSuspended):
        return outputs.AutoReloadSuspended(event.reason, event.reload_id)
    if isinstance(event, PurchaseRequested):
        return outputs.PurchaseRequested(event.purchase_id, event.amount_picousd, event.actor.id)
    if isinstance(event, RequestsDigest):
        return outputs.Digest(
            event.day,
            tuple(
                outputs.Outstanding(
                    request.request_id,
                    request.user_id,
                    request.kind,
                    request.asked_at_micros,
                    request.seat_tier,
                    request.spend_picousd,
                )
                for request in event.requests
            ),
        )
    return _said_in_entry(event, lots) if isinstance(event, LedgerEntry) else _said_of_bills(event)


def _said_of_bills(event: LedgerEvent) -> object:
    if isinstance(event, InvoiceDrafted):
        return outputs.InvoiceDrafted(
            event.at_micros,
            str(event.month),
            event.part,
            event.exact_picousd,
            event.total_picousd,
            event.line_count,
            _lines(event.lines),
        )
    if isinstance(event, InvoiceFinalized):
        return outputs.InvoiceFinalized(
            event.at_micros,
            str(event.month),
            event.part,
            event.number,
            event.reason,
            event.exact_picousd,
            event.total_picousd,
            event.carried_picousd,
            event.offset_picousd,
            event.due_picousd,
            event.line_count,
            _lines(event.lines),
        )
    if isinstance(event, InvoiceContinued):
        return outputs.InvoiceContinued(str(event.month), event.part, event.of, event.first_line, _lines(event.lines))
    if isinstance(event, CreditNoteIssued):
        return outputs.CreditNoteIssued(event.number, event.invoice_number, event.amount_picousd, event.note)
    if isinstance(event, PaymentReceived):
        return outputs.PaymentReceived(event.payment_id, event.invoice_number, event.amount_picousd, event.open_picousd)
    assert isinstance(event, StatementIssued), event
    return outputs.StatementIssued(
        event.at_micros,
        str(event.month),
        event.opening_picousd,
        event.purchase_picousd,
        event.grant_picousd,
        event.burn_picousd,
        event.refund_picousd,
        event.adjust_picousd,
        event.offset_picousd,
        event.expiry_picousd,
        event.closing_picousd,
    )


def _lines(lines: Sequence[InvoiceLine]) -> tuple[outputs.Line, ...]:
    return tuple(
        outputs.Line(
            line.kind,
            line.exact_picousd,
            line.amount_picousd,
            str(line.usage_month),
            line.product,
            line.model,
            line.price_id,
            line.token_kind,
            line.quantity,
            line.rate_picousd,
        )
        if isinstance(line, UsageLine)
        else outputs.Line(line.kind, line.exact_picousd, line.amount_picousd)
        for line in lines
    )


def _said_in_entry(event: LedgerEntry, lots: dict[str, int]) -> outputs.Entry:
    lot = None if event.lot_id is None else lots[event.lot_id]
    cause = (event.cause.kind, str(lots[event.cause.id]) if event.cause.kind == "expiry" else event.cause.id)
    return outputs.Entry(
        event.at_micros,
        event.type,
        event.account,
        event.amount_picousd,
        event.balance_after_picousd,
        str(event.charge_month),
        lot,
        cause,
    )
