"""Outcomes go in; tables for a person come out, a hundred columns wide, whether on a screen or in a file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import shorten

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.screen import apart, table, title
from pipeline.simulate.figures import balances, entry_sums
from pipeline.simulate.notices import notices
from pipeline.simulate.run import Outcome, Scenario
from pipeline.simulate.spend import Charged, Who
from pipeline.simulate.words import scope_for_people, when
from schemas.events import (
    CommandRefused,
    CreditsPaused,
    CreditsResumed,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
)
from schemas.invoices import InvoiceFinalized, StatementIssued
from schemas.money import exact_for_people, headroom_for_people, spend_for_people, usd_from_picousd

_IN_ONE_LINE = ("at", "paused until", "spend", "limit", "over by", "amount", "was", "would be", "difference")
"""Headings of columns whose values nobody could read cut in two: instants and amounts."""

PAUSES = (LimitBreached, LimitResumed, CreditsPaused, CreditsResumed)


def report(scenario: Scenario, outcome: Outcome) -> RenderableType:
    """All tables of one run; those with nothing in them are left out."""
    return Group(_head(scenario, outcome), *_month_to_date(outcome), *_pauses(outcome, ""), *_rest(outcome))


def comparison(was: tuple[Scenario, Outcome], would_be: tuple[Scenario, Outcome], asked: str) -> RenderableType:
    """What was and what would be, side by side, then what would be published in place of what was."""
    return Group(
        _head(*was),
        *_side_by_side(was[1], would_be[1], asked),
        *_pauses(was[1], "as it was"),
        *_pauses(would_be[1], "as it would be"),
        *_rest(would_be[1]),
    )


def _head(scenario: Scenario, outcome: Outcome) -> RenderableType:
    counts = outcome.counts
    books = " then ".join(book.version for _, book in scenario.books)
    events = f"{counts['usage_events']:,} events: {counts['accepted']:,} charged or valued"
    others = [f"{counts[name]:,} {name.replace('_', ' ')}" for name in ("duplicates", "dead_letters") if counts[name]]
    commands = f"{counts['commands']:,} commands: {counts['commands_applied']:,} applied"
    refused = [f"{counts['commands_refused']:,} refused"] if counts["commands_refused"] else []
    left_out = [f"{outcome.left_out:,} after the end left out"] if outcome.left_out else []
    span = f"from {when(scenario.from_micros)} to {when(scenario.until_micros)} UTC, price book {books}"
    return Group(
        Text.assemble(("Simulated", "bold"), f"  {span}"),
        Text(", ".join([events, *others]) + "; " + ", ".join([commands, *refused, *left_out])),
    )


def _month_to_date(outcome: Outcome) -> Iterator[RenderableType]:
    yield title("Month to date", "limits as they were at the end of each month")
    headings = ("month", "who", "spend", "limit", "came while paused", "value of included", "requests")
    made = _table(*headings, right=(2, 3, 4, 5, 6))
    before = ""
    for month, who in outcome.spend.whose():
        charged = outcome.spend.of(month, who)
        limit = outcome.limits[month].of(who) if month in outcome.limits else None
        each = limit is not None and limit.applies_to == "each_member" and not who.user_id
        reached = limit is not None and charged.spend_picousd >= limit.limit_picousd and not each
        if who.kind == "organization" and before:
            made.add_section()
        before = who.org_id
        made.add_row(
            month if who.kind == "organization" else "",
            _indented(who),
            Text(spend_for_people(charged.spend_picousd), "bold red" if reached else "bold" if not who[1:] else ""),
            "–" if limit is None else f"{spend_for_people(limit.limit_picousd)}{' each' if each else ''}",
            _or_dash(charged.after_pause_picousd),
            _or_dash(charged.included_picousd),
            f"{charged.credits_events + charged.included_events:,}",
        )
    yield apart(made)


def _indented(who: Who) -> Text:
    if who.kind == "organization":
        return Text(who.org_id, "bold")
    return Text(f"  {who.seat_tier} seats" if who.seat_tier else f"    {who.user_id}")


def _side_by_side(was: Outcome, would_be: Outcome, asked: str) -> Iterator[RenderableType]:
    yield title("What if", asked)
    made = _table("month", "who", "", "was", "would be", "difference", right=(3, 4, 5))
    keys = dict.fromkeys([*was.spend.whose(), *would_be.spend.whose()])
    for month, who in keys:
        before, after = was.spend.of(month, who), would_be.spend.of(month, who)
        name: Text | str = _indented(who)
        for label, old, new in _measures(before, after):
            # The organisation's spend is always shown; all else where it differs.
            if old == new and (who.kind != "organization" or label != "spend"):
                continue
            difference = _signed(new - old) if new != old else "–"
            row = (spend_for_people(old), spend_for_people(new), Text(difference, "bold" if new != old else ""))
            made.add_row(month if who.kind == "organization" and label == "spend" else "", name, label, *row)
            name = ""
    yield apart(made)


def _measures(before: Charged, after: Charged) -> tuple[tuple[str, int, int], ...]:
    return (
        ("spend", before.spend_picousd, after.spend_picousd),
        ("came while paused", before.after_pause_picousd, after.after_pause_picousd),
        ("value of included", before.included_picousd, after.included_picousd),
    )


def _pauses(outcome: Outcome, which: str) -> Iterator[RenderableType]:
    events = [event for event in outcome.events if isinstance(event, PAUSES)]
    if not events:
        if which:
            yield title("Limits reached, pauses", f"{which}: none")
        return
    yield title("Limits reached, pauses", which or "in the order in which they were published")
    made = _table("at", "who", "what", "limit", "spend", "over by", "paused until", right=(3, 4, 5))
    for event in events:
        made.add_row(when(event.at_micros), *_pause(event))
    yield apart(made)


def _pause(event: LedgerEvent) -> Sequence[RenderableType]:
    match event:
        case LimitBreached():
            cause = "" if event.cause == "usage" else f",\n{event.cause.replace('_', ' ')}"
            return (
                _scope_over_lines(event),
                Text(f"reached{cause}", "red"),
                spend_for_people(event.limit_picousd),
                spend_for_people(event.spend_picousd),
                f"${usd_from_picousd(event.overshoot_picousd)}",
                when(event.paused_until_micros).removesuffix(" 00:00:00"),
            )
        case LimitResumed():
            return (
                _scope_over_lines(event),
                Text(f"passes again,\n{event.cause.replace('_', ' ')}", "green"),
                "–" if event.limit_picousd is None else spend_for_people(event.limit_picousd),
                spend_for_people(event.spend_picousd),
                "",
                "",
            )
        case CreditsPaused():
            balance = f"balance {headroom_for_people(event.balance_picousd)}"
            return (event.org_id, Text(f"all paused,\n{balance}", "red"), "", "", "", "balance > 0")
        case CreditsResumed():
            balance = f"balance {headroom_for_people(event.balance_picousd)}"
            return (event.org_id, Text(f"resumed,\n{balance}", "green"), "", "", "", "")
    raise TypeError(type(event).__name__)


def _scope_over_lines(event: LimitBreached | LimitResumed) -> str:
    """The table is a narrow one: the seat stands below its member."""
    return scope_for_people(event.org_id, event.scope).replace(", ", ",\n")


def _rest(outcome: Outcome) -> Iterator[RenderableType]:
    yield from _ledger(outcome)
    yield from _billed(outcome)
    yield from _told(outcome)
    yield from _refusals(outcome)
    yield from _dead_letters(outcome)


def _ledger(outcome: Outcome) -> Iterator[RenderableType]:
    sums = entry_sums(outcome.events)
    if not sums:
        return
    yield title("Ledger entries", "added up; exact")
    made = _table("organisation", "month", "account", "type", "entries", "amount", right=(4, 5))
    for entry in sums:
        amount = f"{'-' if entry.amount_picousd < 0 else ''}${usd_from_picousd(abs(entry.amount_picousd))}"
        made.add_row(entry.org_id, entry.month, entry.account, entry.type, f"{entry.entries:,}", amount)
    made.add_section()
    for (org_id, account), balance in balances(outcome.events).items():
        amount = f"{'-' if balance < 0 else ''}${usd_from_picousd(abs(balance))}"
        made.add_row(org_id, "", account, Text("balance", "bold"), "", Text(amount, "bold"))
    yield apart(made)


def _billed(outcome: Outcome) -> Iterator[RenderableType]:
    invoices = [event for event in outcome.events if isinstance(event, InvoiceFinalized)]
    statements = [event for event in outcome.events if isinstance(event, StatementIssued)]
    if invoices:
        yield title("Invoices", "finalised; rounded once, over all lines")
        made = _table("organisation", "month", "number", "lines", "exact", "total", "due", right=(2, 3, 4, 5, 6))
        exact = exact_for_people(bill.exact_picousd for bill in invoices)
        for bill, usage in zip(invoices, exact, strict=True):
            number = "" if bill.number is None else str(bill.number)
            cents = map(spend_for_people, (bill.total_picousd, bill.due_picousd))
            made.add_row(bill.org_id, str(bill.month), number, f"{bill.line_count:,}", usage, *cents)
        yield apart(made)
    if statements:
        yield title("Statements", "of Team's wallets; exact")
        made = _table("organisation", "month", "opening", "burn", "closing", right=(2, 3, 4))
        for told in statements:
            amounts = exact_for_people((told.opening_picousd, told.burn_picousd, told.closing_picousd))
            made.add_row(told.org_id, str(told.month), *amounts)
        yield apart(made)


def _told(outcome: Outcome) -> Iterator[RenderableType]:
    found = list(notices(outcome.events))
    if not found:
        return
    yield title("Notices and requests", "to people and to billing")
    made = _table("at", "who", "what")
    for event, who, what in found:
        made.add_row(when(event.at_micros), who, what)
    yield apart(made)


def _refusals(outcome: Outcome) -> Iterator[RenderableType]:
    refused = [event for event in outcome.events if isinstance(event, CommandRefused)]
    if not refused:
        return
    yield title("Refused", "these commands changed nothing")
    made = _table("at", "command", "by", "why")
    for event in refused:
        command = f"{event.command}\n({event.command_id})"
        by = f"{event.actor.id}\nof {event.org_id}"
        made.add_row(when(event.at_micros), command, by, f"{event.reason}: {event.detail}")
    yield apart(made)


def _dead_letters(outcome: Outcome) -> Iterator[RenderableType]:
    letters = outcome.dead_letters
    if not letters:
        return
    yield title("Dead letters", "neither charged nor lost")
    counts = Counter(letter.reason.value for _, letter in letters)
    first = {letter.reason.value: (place, letter.detail) for place, letter in reversed(letters)}
    made = _table("reason", "events", "first at", "for example", right=(1,))
    for reason, count in counts.items():
        place, detail = first[reason]
        made.add_row(reason, f"{count:,}", place, shorten(detail, 130, placeholder=" …"))
    yield apart(made)


def _table(*headings: str, right: Sequence[int] = ()) -> Table:
    made = table(*headings, right=right)
    for column, heading in zip(made.columns, headings, strict=True):
        column.no_wrap = heading in _IN_ONE_LINE
    return made


def _or_dash(picousd: int) -> str:
    return spend_for_people(picousd) if picousd else "–"


def _signed(picousd: int) -> str:
    return ("+" if picousd > 0 else "−") + spend_for_people(abs(picousd))
