"""The commands `usage-credits import …`, one for each kind of file: arguments come in; calls of the importer go out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli_options import AS_JSON

if TYPE_CHECKING:
    from pipeline.importers.readings import Format

Command = Callable[..., None]

_OPTIONS = (
    click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)),
    click.option("--org-id", help="The organisation whose usage it is; otherwise what each record says."),
    click.option("--user-id", help="The member whose usage it is, where a record does not say."),
    click.option("--product", help="The product it was used in, where a record does not say."),
    click.option(
        "--funding",
        type=click.Choice(["included", "credits"]),
        help="How it is funded, where a record does not say; otherwise credits.",
    ),
    click.option("--dry-run", is_flag=True, help="Send nothing; say what there is and what it costs at API rates."),
    click.option("--again", is_flag=True, help="Send everything, including what an earlier run sent."),
    click.option("--stdout", "to_stdout", is_flag=True, help="Print the events (CloudEvents, NDJSON); send nothing."),
    AS_JSON,
)


def _options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group("import")
def imports() -> None:
    """Import usage that other tools recorded.

    Files or whole folders become events on usage-events. A run that was interrupted continues where it stopped when
    it is started again. Exits with 1 if there were records and not one of them became an event.
    """


@imports.command("claude-code")
@_options
def claude_code(org_id: str | None, user_id: str | None, **arguments: Any) -> None:
    """Claude Code's logs: the last delivery of each request becomes an event.

    Without --org-id and --user-id, the demo's rule decides whose it is and who paid (examples/README.md).
    """
    from pipeline.importers.claude_code import CLAUDE_CODE

    if (org_id is None) != (user_id is None):
        raise click.UsageError("--org-id and --user-id go together")
    _import(CLAUDE_CODE, org_id=org_id, user_id=user_id, **arguments)


@imports.command("litellm")
@_options
def litellm(**arguments: Any) -> None:
    """LiteLLM's spend logs, JSON or NDJSON."""
    from pipeline.importers.litellm import LITELLM

    _import(LITELLM, **arguments)


@imports.command("otel")
@_options
def otel(**arguments: Any) -> None:
    """OpenTelemetry's GenAI spans, OTLP as JSON or NDJSON."""
    from pipeline.importers.otel import OTEL

    _import(OTEL, **arguments)


@imports.command("anthropic-usage")
@_options
@click.option(
    "--cost-report",
    type=click.File("rb"),
    help="Anthropic's cost report for the same period; with --dry-run the two are compared.",
)
def anthropic_usage(cost_report: Any, **arguments: Any) -> None:
    """Anthropic's usage report (Admin API), grouped by model; JSON, or one page per line."""
    from pipeline.importers.anthropic_usage import ANTHROPIC_USAGE, cost_picousd

    try:
        vendor_picousd = None if cost_report is None else cost_picousd(cost_report)
    except ValueError as error:
        raise click.ClickException(f"{cost_report.name}: {error}") from None
    _import(ANTHROPIC_USAGE, **arguments, vendor_picousd=vendor_picousd)


@imports.command("csv")
@_options
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Which column a field is in, such as occurred_at=time. May be repeated.",
)
@click.option(
    "--input-includes-cached",
    is_flag=True,
    help="The column of input_tokens includes cached tokens; they are subtracted.",
)
def csv(mapped: tuple[str, ...], input_includes_cached: bool, **arguments: Any) -> None:
    """Any CSV with a header line and one request per line. Fields are those of a usage event."""
    from pipeline.importers.csv_file import FIELDS, csv_format

    columns = dict(pair.split("=", 1) for pair in mapped if "=" in pair)
    if len(columns) < len(mapped) or columns.keys() - FIELDS:
        raise click.UsageError(f"--map FIELD=COLUMN, each field once; fields are {', '.join(sorted(FIELDS))}")
    _import(csv_format(columns, input_includes_cached=input_includes_cached), **arguments)


def _import(
    kind: "Format",
    paths: tuple[Path, ...],
    org_id: str | None,
    user_id: str | None,
    product: str | None,
    funding: Any,
    dry_run: bool,
    again: bool,
    to_stdout: bool,
    as_json: bool,
    vendor_picousd: int | None = None,
) -> None:
    import json

    from pipeline.importers import importing
    from pipeline.importers.readings import Told
    from pipeline.importers.summary import document_of, show, summarize
    from pipeline.settings import Settings

    if to_stdout and (dry_run or as_json):
        raise click.UsageError("--stdout prints events; leave --dry-run and --json out")
    horizon_days = Settings().horizon_days
    told = Told(org_id, user_id, product, funding)
    with importing.progress_bar() as progress, importing.find(kind, paths, told, progress) as found:
        if dry_run:
            summary = summarize(found, horizon_days)
            events = summary.events
        elif to_stdout:
            events = importing.write(found, click.get_binary_stream("stdout"))
        else:
            answer = importing.send(found, again=again)
            events = answer["sent"] + answer["sent_before"]
    if dry_run and as_json:
        click.echo(json.dumps(document_of(summary, vendor_picousd), indent=2))
    elif dry_run:
        show(summary, vendor_picousd, horizon_days)
    elif as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        if to_stdout:
            click.echo(f"{events:,} events of {found.records:,} records", err=True)
        else:
            before = f", {answer['sent_before']:,} records were sent before" if answer["sent_before"] else ""
            click.echo(f"{answer['sent']:,} events of {answer['records']:,} records sent{before}")
        for why, count in found.skipped.items():
            click.echo(f"{count:,} × no event: {why}", err=True)
    if found.skipped and not events:
        records = found.skipped.total()
        raise click.ClickException(f"not one of {records:,} records became an event; above is said why")
