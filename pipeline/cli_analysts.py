"""The command `usage-credits export`: arguments in; a call of pipeline/export.py out."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli_options import DATA_DIR, month_of


@click.command()
@click.argument("view")
@click.option("--format", "as_format", type=click.Choice(["parquet", "csv"]), default="csv", show_default=True)
@click.option("--organization", "--org", "org_ids", multiple=True, help="Only this organisation. May be repeated.")
@click.option(
    "--month",
    "months",
    multiple=True,
    metavar="MONTH",
    callback=month_of,
    help="Only this month, such as 2026-02. May be repeated.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The file to write; otherwise stdout.",
)
@DATA_DIR
def export(
    view: str,
    as_format: Any,
    org_ids: tuple[str, ...],
    months: tuple[str, ...],
    output: Path | None,
    data_dir: Path | None,
) -> None:
    """Export a VIEW or table of ClickHouse as CSV or Parquet. The views are described in docs/analysts.md."""
    from pipeline.export import Wanted, run_export

    if as_format == "parquet" and output is None and click.get_text_stream("stdout").isatty():
        raise click.UsageError("Parquet is not for the screen; name a file with --output, or redirect stdout")
    run_export(Wanted(view, org_ids, months), as_format, output, data_dir)
