"""The commands `usage-credits import litellm | otel | anthropic-usage | csv`: arguments in; calls of importers out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.cli_options import AS_JSON

Command = Callable[..., None]

_OPTIONS = (
    click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    click.option("--org-id", help="Whose usage it is; otherwise what each record says."),
    click.option("--user-id", help="Whose usage it is where a record does not say."),
    click.option("--product", help="What it was used in, where a record does not say."),
    click.option("--funding", type=click.Choice(["included", "credits"]), default="credits", show_default=True),
    click.option("--dry-run", is_flag=True, help="Send nothing; say what there is and what it costs at API rates."),
    click.option("--again", is_flag=True, help="Send all, also what an earlier run sent."),
    click.option("--stdout", "to_stdout", is_flag=True, help="Print the events (CloudEvents, NDJSON); send nothing."),
    AS_JSON,
)


def _options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("litellm")
@_options
def litellm(**arguments: Any) -> None:
    """LiteLLM's spend logs, JSON or NDJSON."""
    from pipeline.importers.litellm import read

    _import(read, **arguments)


@click.command("otel")
@_options
def otel(**arguments: Any) -> None:
    """OpenTelemetry's GenAI spans, OTLP as JSON or NDJSON."""
    from pipeline.importers.otel import read

    _import(read, **arguments)


@click.command("anthropic-usage")
@_options
@click.option(
    "--cost-report",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What Anthropic's cost report says of the same time; with --dry-run the two are compared.",
)
def anthropic_usage(cost_report: Path | None, **arguments: Any) -> None:
    """Anthropic's usage report (Admin API), grouped by model, JSON or a page a line."""
    from pipeline.importers.anthropic_usage import cost_picousd, read

    _import(read, **arguments, vendor_picousd=None if cost_report is None else cost_picousd(cost_report))


@click.command("csv")
@_options
@click.option(
    "--map", "mapped", multiple=True, metavar="FIELD=COLUMN", help="Such as occurred_at=time; may be repeated."
)
@click.option("--input-includes-cached", is_flag=True, help="input_tokens counts cached ones; ours does not.")
def csv(mapped: tuple[str, ...], input_includes_cached: bool, **arguments: Any) -> None:
    """Any CSV with a heading: a request a line. Fields are those of a usage event."""
    from pipeline.importers.csv_file import FIELDS, reader

    columns = dict(pair.split("=", 1) for pair in mapped if "=" in pair)
    if len(columns) < len(mapped) or columns.keys() - FIELDS:
        raise click.UsageError(f"--map FIELD=COLUMN, each field once; fields are {', '.join(sorted(FIELDS))}")
    _import(reader(columns, input_includes_cached=input_includes_cached), **arguments)


def _import(
    read: Any,
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
    from pipeline.settings import Settings

    if to_stdout and (dry_run or as_json):
        raise click.UsageError("--stdout prints events; leave --dry-run and --json out")
    try:
        found = importing.find(read, paths, Told(org_id, user_id, product, funding))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if to_stdout:
        importing.write(found, click.get_binary_stream("stdout"))
    elif dry_run:
        horizon_days = Settings().horizon_days
        summary = importing.summarize(found, horizon_days)
        if as_json:
            click.echo(json.dumps(importing.document_of(found, summary, vendor_picousd), indent=2))
        else:
            importing.show(found, summary, vendor_picousd, horizon_days)
    else:
        answer = importing.send(found, again=again)
        if as_json:
            click.echo(json.dumps(answer, indent=2))
        else:
            click.echo(f"{answer['sent']:,} events sent, {answer['sent_before']:,} were sent before")
    for why, count in found.skipped.items() if not (dry_run or as_json) else ():
        click.echo(f"{count:,} × no event: {why}", err=True)


COMMANDS = (anthropic_usage, csv, litellm, otel)
