"""Options that several commands take; loads nothing but click, so that help is instant."""

from pathlib import Path

import click

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
DATA_DIR = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Of a demo that has ended; else CLICKHOUSE_URL."
)
