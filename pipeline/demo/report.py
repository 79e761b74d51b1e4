"""Figures go in; tables for a person go out, a hundred columns wide, whether on a screen or in a file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.demo.figures import OUTCOMES, Claim, Figures, MonthToDate
from schemas.money import spend_for_people, usd_from_picousd

WIDTH = 100


def report(figures: Figures) -> RenderableType:
    """All tables, in the order of the story."""
    return Group(
        _title("Month to date", "from ClickHouse, as an analyst sees it"),
        _month_to_date("organisation", figures.organizations),
        _month_to_date("seat tier", figures.tiers),
        _month_to_date("member", figures.members),
        _title("Spend limits reached", "from the topic limit-breaches"),
        _breaches(figures),
        "",
        *map(_refusal, figures.refusals),
        *(_after_pause(row) for row in figures.organizations if row.after_pause_picousd),
        _title("Dead letters", "kept with their reason, redriven once the cause is mended"),
        _dead_letters(figures.dead_letters),
        _title("Proof", "nothing lost, nothing doubled, to the last picodollar"),
        _proof_of_events(figures.events),
        _proof([claim for claim in figures.proof if not claim.is_money]),
        _proof([claim for claim in figures.proof if claim.is_money]),
        _verdict(figures),
    )


def console(*, stderr: bool = False) -> Console:
    """A console of the screen's width, at most WIDTH; of WIDTH where there is no screen."""
    plain = Console(stderr=stderr, highlight=False)
    return Console(stderr=stderr, highlight=False, width=min(plain.width, WIDTH) if plain.is_terminal else WIDTH)


def _title(title: str, source: str) -> RenderableType:
    return _apart(Text.assemble((title, "bold"), f"  {source}"))


def _apart(renderable: RenderableType) -> RenderableType:
    return Group("", renderable)


def _table(*headings: str, right: Sequence[int] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index in right else "left", overflow="fold")
    return table


def _month_to_date(kind: str, rows: Sequence[MonthToDate]) -> RenderableType:
    is_organization = kind == "organisation"
    table = _table(
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
        table.add_row(
            row.month,
            row.who[0],
            row.who[1] if len(row.who) > 1 else "",
            Text(spend_for_people(row.spend_picousd), "bold red" if is_over else "bold"),
            limit if is_organization else "",
            _or_dash(row.after_pause_picousd),
            _or_dash(row.included_picousd),
            f"{row.credits_events + row.included_events:,}",
        )
    return _apart(table)


def _or_dash(picousd: int) -> str:
    return spend_for_people(picousd) if picousd else "–"


def _breaches(figures: Figures) -> RenderableType:
    resumed = {(data["org_id"], data["episode"]): data["at"] for data in figures.resumes}
    table = _table("who", "reached", "limit", "spend", "overshoot", "everybody paused until", right=(2, 3, 4))
    for data in figures.breaches:
        spend, limit, overshoot = (int(data[f"{name}_picousd"]) for name in ("spend", "limit", "overshoot"))
        ended = resumed.get((data["org_id"], data["episode"]))
        table.add_row(
            data["org_id"],
            _when(data["at"]),
            spend_for_people(limit),
            spend_for_people(spend),
            f"${usd_from_picousd(overshoot)}",
            f"{_when(ended)}, limit raised" if ended else f"{_when(data['paused_until'])}, end of month",
        )
    return _apart(table)


def _when(instant: str) -> str:
    return instant[:19].replace("T", " ")


def _refusal(data: Mapping[str, Any]) -> Text:
    who = f"{data['actor']['id']} of {data['org_id']}"
    return Text(f"Refused: {data['command']} by {who} at {_when(data['at'])}: {data['detail']}.")


def _after_pause(row: MonthToDate) -> Text:
    return Text(
        f"While paused: {spend_for_people(row.after_pause_picousd)} of {row.who[0]} came all the same (these logs were "
        "recorded elsewhere, nobody held them back): charged, and marked."
    )


def _dead_letters(letters: Sequence[Mapping[str, Any]]) -> RenderableType:
    counts = Counter(letter["reason"] for letter in letters)
    details = {letter["reason"]: letter["detail"] for letter in reversed(letters)}
    table = _table("reason", "events", "for example", right=(1,))
    for reason, count in counts.items():
        table.add_row(reason, f"{count}", shorten(details[reason], 130, placeholder=" …"))
    return _apart(table)


def _proof_of_events(events: Mapping[str, int]) -> RenderableType:
    parts = " + ".join(f"{events[name]:,} {name.replace('_', ' ')}" for name in OUTCOMES)
    return _apart(Text(f"{events['read']:,} events read = {parts}"))


def _proof(claims: Sequence[Claim]) -> RenderableType:
    table = _table("must be equal", "", "found in", right=(1,))
    for claim in claims:
        found: dict[int, list[str]] = {}
        for where, value in claim.values.items():
            found.setdefault(value, []).append(where)
        for value, places in found.items():
            amount = f"${usd_from_picousd(value)}" if claim.is_money else f"{value:,}"
            mark = Text("✓ ", "green") if claim.agrees else Text("✗ ", "bold red")
            table.add_row(mark + claim.what, amount, " = ".join(places))
    return _apart(table)


def _verdict(figures: Figures) -> RenderableType:
    wrong = [claim.what for claim in figures.proof if not claim.agrees]
    if not wrong:
        return _apart(Text(f"All {len(figures.proof)} sums agree.", "bold green"))
    return _apart(Text(f"These do not agree: {'; '.join(wrong)}.", "bold red"))
