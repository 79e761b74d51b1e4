"""Figures go in; tables for a person go out, a hundred columns wide, whether on a screen or in a file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from pipeline.demo.figures import Figures, MonthToDate
from pipeline.proof.equation import Equation
from pipeline.proof.outcome import Tally
from pipeline.proof.report import equal, events_read
from pipeline.screen import apart, table, title
from schemas.money import spend_for_people, usd_from_picousd


def report(figures: Figures) -> RenderableType:
    """All tables, in the order of the story."""
    return Group(
        title("Month to date", "from ClickHouse, as an analyst sees it"),
        _month_to_date("organisation", figures.organizations),
        _month_to_date("seat tier", figures.tiers),
        _month_to_date("member", figures.members),
        title("Spend limits reached", "from the topic limit-breaches"),
        _breaches(figures),
        "",
        *map(_refusal, figures.refusals),
        *(_after_pause(row) for row in figures.organizations if row.after_pause_picousd),
        title("Dead letters", "kept with their reason, and redriven once the cause is fixed"),
        _dead_letters(figures.dead_letters),
        title("Proof", "nothing lost, nothing doubled, to the last picodollar"),
        events_read(figures.events["read"], figures.events),
        equal([one for one in figures.proof if not one.is_money]),
        equal([one for one in figures.proof if one.is_money]),
        _verdict(figures),
    )


def _month_to_date(kind: str, rows: Sequence[MonthToDate]) -> RenderableType:
    is_organization = kind == "organisation"
    lines = table(
        "month",
        "organisation",
        "" if is_organization else kind,
        "spend",
        "limit" if is_organization else "",
        "after pause",
        "value of included",
        "requests",
        right=(3, 4, 5, 6, 7),
    )
    for row in rows:
        limit = "none" if row.limit_picousd is None else spend_for_people(row.limit_picousd)
        is_over = row.limit_picousd is not None and row.spend_picousd >= row.limit_picousd
        lines.add_row(
            row.month,
            row.who[0],
            row.who[1] if len(row.who) > 1 else "",
            Text(spend_for_people(row.spend_picousd), "bold red" if is_over else "bold"),
            limit if is_organization else "",
            _or_dash(row.after_pause_picousd),
            _or_dash(row.included_picousd),
            f"{row.credits_events + row.included_events:,}",
        )
    return apart(lines)


def _or_dash(picousd: int) -> str:
    return spend_for_people(picousd) if picousd else "–"


def _breaches(figures: Figures) -> RenderableType:
    resumed = {(data["org_id"], data["episode"]): data["at"] for data in figures.resumes}
    lines = table("who", "reached", "limit", "spend", "overshoot", "everybody paused until", right=(2, 3, 4))
    for data in figures.breaches:
        spend, limit, overshoot = (int(data[f"{name}_picousd"]) for name in ("spend", "limit", "overshoot"))
        ended = resumed.get((data["org_id"], data["episode"]))
        lines.add_row(
            data["org_id"],
            _when(data["at"]),
            spend_for_people(limit),
            spend_for_people(spend),
            f"${usd_from_picousd(overshoot)}",
            f"{_when(ended)}, limit raised" if ended else f"{_when(data['paused_until'])}, end of month",
        )
    return apart(lines)


def _when(instant: str) -> str:
    return instant[:19].replace("T", " ")


def _refusal(data: Mapping[str, Any]) -> Text:
    who = f"{data['actor']['id']} of {data['org_id']}"
    return Text(f"Refused: {data['command']} by {who} at {_when(data['at'])}: {data['detail']}.")


def _after_pause(row: MonthToDate) -> Text:
    return Text(
        f"While paused: {row.who[0]} used another {spend_for_people(row.after_pause_picousd)}, which was charged and "
        "marked (these are recorded logs, so nobody held requests back)."
    )


def _dead_letters(letters: Sequence[Mapping[str, Any]]) -> RenderableType:
    counts = Counter(letter["reason"] for letter in letters)
    details = {letter["reason"]: letter["detail"] for letter in reversed(letters)}
    lines = table("reason", "events", "for example", right=(1,))
    for reason, count in counts.items():
        lines.add_row(reason, f"{count}", shorten(details[reason], 130, placeholder=" …"))
    return apart(lines)


def _verdict(figures: Figures) -> RenderableType:
    wrong = [equal.what for equal in figures.proof if not equal.agrees]
    if figures.agree:
        return apart(Text(f"All {sum(map(_count, figures.proof)):,} sums agree.", "bold green"))
    return apart(Text(f"These do not agree: {'; '.join(wrong)}.", "bold red"))


def _count(equal: Equation | Tally) -> int:
    return equal.compared if isinstance(equal, Tally) else 1
