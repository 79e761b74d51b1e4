"""`usage-credits dead-letters`: options in; calls of pipeline/dead_letters, and exit codes, out."""

import sys
from functools import wraps
from typing import Any

import click

from pipeline.cli_options import AS_JSON


@click.group("dead-letters")
def dead_letters() -> None:
    """List, redrive or discard what could not be processed."""


def _reasons(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> frozenset[Any]:
    from schemas.dead_letters import Reason

    if unknown := set(names) - set(Reason):
        raise click.BadParameter(f"no reason {', '.join(unknown)}; there are {', '.join(Reason)}")
    return frozenset(map(Reason, names))


def _instant(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    from pipeline.simulate.accounts_shape import instant_or_day

    try:
        return None if text is None else instant_or_day(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _wanted(command: Any) -> Any:
    """The options that say which dead letters are meant, put together as `wanted`."""

    @wraps(command)
    def with_wanted(ids: tuple[str, ...], **others: Any) -> None:
        from pipeline.dead_letters.cases import Wanted

        names = ("reasons", "org_id", "since_micros", "until_micros")
        command(Wanted(frozenset(ids), **{name: others.pop(name) for name in names}), **others)

    for option in (
        click.option("--until", "until_micros", callback=_instant, help="Arrived before this instant or day."),
        click.option("--since", "since_micros", callback=_instant, help="Arrived at or after this instant or day."),
        click.option("--org-id", "--org", help="Only this organisation."),
        click.option(
            "--reason", "reasons", multiple=True, callback=_reasons, help="Only this reason. May be repeated."
        ),
        click.option("--id", "ids", multiple=True, help="Only this dead letter. May be repeated."),
    ):
        with_wanted = option(with_wanted)
    return with_wanted


OLDEST = click.option("--limit", type=click.IntRange(min=1), help="At most this many, the oldest first; otherwise all.")
BY = click.option("--by", help="Who decides; otherwise the current user.")
YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would happen; write nothing.")


@dead_letters.command("list")
@_wanted
@click.option("--open", "only_open", is_flag=True, help="Only those that nobody has decided on.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many, the newest first."
)
@AS_JSON
def list_dead_letters(wanted: Any, only_open: bool, limit: int, as_json: bool) -> None:
    """List dead letters, newest first, and what became of each."""
    from dataclasses import replace

    from pipeline.dead_letters.command import run_list

    run_list(replace(wanted, only_open=only_open), limit, as_json=as_json)


@dead_letters.command("show")
@click.argument("dead_letter_id", metavar="ID")
@AS_JSON
def show_dead_letter(dead_letter_id: str, as_json: bool) -> None:
    """Show one dead letter: its reason, its origin, how to fix it, and its content."""
    from pipeline.dead_letters.command import run_show

    run_show(dead_letter_id, as_json=as_json)


@dead_letters.command()
@_wanted
@OLDEST
@click.option("--why", help="The reason for the decision, which is kept with it.")
@click.option(
    "--also-forgotten", is_flag=True, help="Include those that may have been accepted since, too long ago to tell."
)
@BY
@YES
@DRY_RUN
@AS_JSON
def redrive(
    wanted: Any,
    limit: int | None,
    why: str | None,
    also_forgotten: bool,
    by: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send dead letters to the ledger again, each once, with their first arrival and origin.

    Safe to repeat: what was redriven or discarded is left alone. Exits with 1 if any had to be held back.
    """
    from pipeline.dead_letters.command import operator, run_decide
    from pipeline.dead_letters.deciding import Verdict

    verdict = Verdict("redriven", by or operator(), why, also_forgotten)
    sys.exit(0 if run_decide(wanted, limit, verdict, None if yes else _agree, dry_run=dry_run, as_json=as_json) else 1)


@dead_letters.command()
@_wanted
@OLDEST
@click.option("--why", required=True, help="The reason for the decision, which is kept with it.")
@BY
@YES
@DRY_RUN
@AS_JSON
def discard(wanted: Any, limit: int | None, why: str, by: str | None, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Discard dead letters for good, with the reason why."""
    from pipeline.dead_letters.command import operator, run_decide
    from pipeline.dead_letters.deciding import Verdict

    verdict = Verdict("discarded", by or operator(), why)
    run_decide(wanted, limit, verdict, None if yes else _agree, dry_run=dry_run, as_json=as_json)


def _agree(question: str) -> bool:
    return click.confirm(question, err=True)
