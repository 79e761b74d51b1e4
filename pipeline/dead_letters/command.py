"""`usage-credits dead-letters`: what is wanted comes in; tables or JSON on stdout, and decisions in Kafka, go out."""

import asyncio
import getpass
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from pipeline.dead_letters import report
from pipeline.dead_letters.cases import Case, Wanted, cases_of
from pipeline.dead_letters.deciding import Outcome, Verdict, decide
from pipeline.dead_letters.reading import open_reader
from pipeline.dead_letters.reasons import REMEDIES
from pipeline.errors import Mendable
from pipeline.settings import Settings
from pipeline.topics_admin import check_topics
from schemas.dead_letters import DeadLetter

Confirm = Callable[[str], bool]
"""Asks a person; False: no."""


def run_list(wanted: Wanted, limit: int, *, as_json: bool) -> None:
    """Print the newest of those that are wanted, newest first."""
    cases = asyncio.run(_cases(Settings(), wanted))
    newest = cases[::-1][:limit]
    _show(as_json, report.document_of_cases(newest, len(cases)), report.table_of_cases(newest, len(cases)))


def run_show(dead_letter_id: str, *, as_json: bool) -> None:
    """Print all there is of one.

    Raises:
        Mendable: there is none of this id.
    """
    case, letter = asyncio.run(_one(Settings(), dead_letter_id))
    _show(as_json, report.document_of_one(case, letter), report.page_of_one(case, letter))


def run_decide(
    wanted: Wanted, limit: int | None, verdict: Verdict, confirm: Confirm | None, *, dry_run: bool, as_json: bool
) -> bool:
    """Redrive or discard the oldest of those that are wanted and open.

    Args:
        confirm: None: nobody is asked.

    Returns:
        Whether none had to be held back.

    Raises:
        Mendable: nobody agreed; one that is wanted by its id does not exist; another run has taken over.
    """
    settings = Settings()
    cases = asyncio.run(_cases(settings, wanted))
    _check_all_exist(wanted, cases)
    still_open = [case for case in cases if case.is_open][:limit]
    ids = {case.letter.dead_letter_id for case in still_open}
    if ids and confirm and not dry_run and not confirm(_question(still_open, verdict)):
        raise Mendable(f"nothing was {verdict.decision}")
    outcome = asyncio.run(decide(settings, ids, verdict, dry_run=dry_run)) if ids else Outcome()
    if wanted.ids:
        outcome.decided_before += sum(not case.is_open for case in cases)
    _show(
        as_json,
        report.document_of_outcome(outcome, verdict.decision, dry_run=dry_run),
        report.page_of_outcome(outcome, verdict.decision, dry_run=dry_run),
    )
    return not outcome.held_back


def operator() -> str:
    """Who decides, where nobody says: the user of this machine."""
    return getpass.getuser()


def _question(cases: Sequence[Case], verdict: Verdict) -> str:
    counts = Counter(case.letter.reason for case in cases)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())
    question = f"{len(cases):,} dead letters ({reasons}) are to be {verdict.decision}."
    again = sum(count for reason, count in counts.items() if not REMEDIES[reason].by_redriving)
    if again and verdict.decision == "redriven":
        question += f" {again:,} of them will be refused again, as they are; each becomes a new dead letter."
    return f"{question} Go on?"


def _check_all_exist(wanted: Wanted, cases: Sequence[Case]) -> None:
    if missing := wanted.ids - {case.letter.dead_letter_id for case in cases}:
        raise Mendable(f"no such dead letter: {', '.join(sorted(missing))}; see `usage-credits dead-letters list`")


async def _cases(settings: Settings, wanted: Wanted) -> list[Case]:
    await check_topics(settings)
    async with open_reader(settings) as reader:
        decisions = await reader.decisions()
        return await cases_of(reader.letters(), decisions, wanted)


async def _one(settings: Settings, dead_letter_id: str) -> tuple[Case, DeadLetter]:
    wanted = Wanted(ids=frozenset([dead_letter_id]))
    cases = await _cases(settings, wanted)
    _check_all_exist(wanted, cases)
    async with open_reader(settings) as reader:
        (filed,) = [filed async for filed in reader.letters(wanted.ids)]
    return cases[0], filed.letter


def _show(as_json: bool, document: Mapping[str, Any], page: RenderableType) -> None:
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        report.print_for_people(page)
