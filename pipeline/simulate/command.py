"""`usage-credits simulate`: options go in; tables or JSON on stdout, and whether anything was refused, come out."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from pipeline.domain.rules import Rules
from pipeline.importers.readings import Told
from pipeline.price_book import load_price_book
from pipeline.screen import console
from pipeline.simulate.accounts_file import read_accounts
from pipeline.simulate.accounts_shape import instant_or_day
from pipeline.simulate.figures import as_json, both_as_json
from pipeline.simulate.report import comparison, report
from pipeline.simulate.run import Outcome, simulate
from pipeline.simulate.scenario import NewLimit, WrongUsage, scenario_of, str_of, under_other_rules
from pipeline.simulate.usage import read_usage
from pipeline.simulate.words import EARLIEST, LATEST
from schemas.month import Month


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Other rules for the same run, from a month on; all empty: no other rules."""

    set_limits: tuple[str, ...] = ()
    price_book: Path | None = None
    from_month: str | None = None


def run_simulate(
    accounts_file: Path,
    files: Sequence[BinaryIO],
    logs: tuple[Path, ...],
    whose: Told,
    until: str | None,
    what_if: WhatIf,
    *,
    as_json_document: bool,
) -> bool:
    """Simulate and print; whether everything given was taken: no command refused, nothing unreadable.

    Raises:
        WrongUsage: an option says something that cannot be done.
        AccountsFileError, PriceBookError, FileNotFoundError: a file cannot be used.
    """
    limits = [NewLimit.parse(text) for text in what_if.set_limits]
    month = _month(what_if.from_month)
    if month and not limits and not what_if.price_book:
        raise WrongUsage("--from says from when --set-limit or --price-book holds; give one of them")
    accounts, book = read_accounts(accounts_file), load_price_book()
    other_book = load_price_book(what_if.price_book) if what_if.price_book else None
    usage = read_usage(files, logs, whose)
    scenario = scenario_of(accounts, usage, book, _until(until), Rules())
    outcome = simulate(scenario)
    if usage.skipped:
        click.echo(_skipped(usage.skipped), err=True)
    if not limits and other_book is None:
        if as_json_document:
            click.echo(json.dumps(as_json(scenario, outcome), indent=2))
        else:
            console(markup=False).print(report(scenario, outcome))
        return not usage.skipped and _took_all(outcome)
    other = under_other_rules(scenario, outcome, limits, other_book, month)
    both = (scenario, outcome), (other, simulate(other))
    if as_json_document:
        click.echo(json.dumps(both_as_json(*both), indent=2))
    else:
        console(markup=False).print(comparison(*both, _asked(limits, what_if, month)))
    return not usage.skipped and _took_all(outcome) and _took_all(both[1][1])


def _took_all(outcome: Outcome) -> bool:
    return not outcome.dead_letters and not outcome.counts["commands_refused"]


def _until(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return instant_or_day(text)
    except ValueError as error:
        raise WrongUsage(f"--until {text!r}: {error}") from None


def _month(text: str | None) -> Month | None:
    if text is None:
        return None
    try:
        month = Month.parse(text)
    except ValueError as error:
        raise WrongUsage(f"--from: {error}") from None
    if not Month.containing(EARLIEST) <= month < Month.containing(LATEST):
        raise WrongUsage(f"--from {text}: write a year from 2000 to 2099")
    return month


def _asked(limits: Sequence[NewLimit], what_if: WhatIf, month: Month | None) -> str:
    asked = [f"{str_of(limit.who)} = {limit.limit_usd or 'unlimited'}" for limit in limits]
    asked += [f"price book {what_if.price_book}"] if what_if.price_book else []
    return ", ".join(asked) + (f", from {month} on" if month else "")


def _skipped(skipped: Counter[str]) -> str:
    return "lines of logs not used: " + ", ".join(f"{count:,} × {what}" for what, count in skipped.items())
