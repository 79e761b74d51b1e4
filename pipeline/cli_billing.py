"""`usage-credits invoice` and `statement`: options in; calls of pipeline/invoices out."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli_options import AS_JSON, DATA_DIR, month_of

STATES = ("open", "draft", "finalized")
MONTH = click.option("--month", callback=month_of, help="Only this month, such as 2026-02.")


@click.group()
def invoice() -> None:
    """List, show, export and explain drafts and invoices."""


@invoice.command("list")
@click.option("--org", "org_ids", multiple=True, help="Only this organisation. May be repeated.")
@MONTH
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only this state. May be repeated.")
@DATA_DIR
@AS_JSON
def list_invoices(
    org_ids: tuple[str, ...], month: str | None, states: Any, data_dir: Path | None, as_json: bool
) -> None:
    """List drafts and invoices, one per line.

    States: open (the month is running), draft (it has ended, and late usage is still added), finalized.
    """
    from pipeline.invoices.command import run_list
    from pipeline.invoices.reading import Wanted

    run_list(Wanted(org_ids, month or "", states=states), data_dir, as_json=as_json)


@invoice.command()
@click.argument("org_id", metavar="ORG")
@click.argument("which", metavar="NUMBER|MONTH")
@click.option("--why", "line", type=click.IntRange(min=1), metavar="LINE", help="Show what this line is made of.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="With --why: at most this many events."
)
@DATA_DIR
@AS_JSON
def show(org_id: str, which: str, line: int | None, limit: int, data_dir: Path | None, as_json: bool) -> None:
    """Show one invoice with its lines, by number (7), month (2026-02), or month and part (2026-02.2).

    With --why LINE, the usage events that a line is made of, and the query that finds them.
    """
    from pipeline.invoices.command import run_show, run_why

    if line is None:
        run_show(org_id, which, data_dir, as_json=as_json)
    else:
        run_why(org_id, which, line, limit, data_dir, as_json=as_json)


@invoice.command()
@click.argument("org_id", metavar="[ORG", required=False)
@click.argument("which", metavar="[NUMBER|MONTH]]", required=False)
@MONTH
@click.option("--format", "as_format", type=click.Choice(["html", "csv", "json"]), default="html", show_default=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The file to write; otherwise stdout.",
)
@DATA_DIR
def export(
    org_id: str | None, which: str | None, month: str | None, as_format: Any, output: Path | None, data_dir: Path | None
) -> None:
    """Export one invoice, all of an organisation, or all of a --month.

    As pages to print (html), a row per line (csv), or everything (json).
    """
    from dataclasses import replace

    from pipeline.invoices.command import run_export, wanted_of
    from pipeline.invoices.reading import Wanted

    if org_id is None and month is None:
        raise click.UsageError("name an organisation, or a --month")
    if which is not None and month is not None:
        raise click.UsageError("name NUMBER or MONTH, or give --month")
    wanted = wanted_of(org_id, which) if org_id and which else Wanted((org_id,) if org_id else ())
    run_export(replace(wanted, month=month) if month else wanted, as_format, output, data_dir)


@click.group()
def statement() -> None:
    """Show what changed the balance of a Team organisation."""


@statement.command("show")
@click.argument("org_id", metavar="ORG")
@click.argument("month", metavar="[MONTH]", required=False, callback=month_of)
@DATA_DIR
@AS_JSON
def show_statement(org_id: str, month: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Show an organisation's statements side by side, or the one of MONTH."""
    from pipeline.invoices.command import run_statement

    run_statement(org_id, month, data_dir, as_json=as_json)
