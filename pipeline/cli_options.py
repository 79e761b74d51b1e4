"""Options that several commands take; loads nothing but click, so that help is instant."""

from pathlib import Path
from typing import Any

import click

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Read what a demo that has ended left in this folder, instead of CLICKHOUSE_URL.",
)


def month_of(_context: click.Context, _option: click.Parameter, text: Any) -> Any:
    """A month such as 2026-02, or several; a mistake in one is a sentence."""
    from schemas.month import Month

    try:
        if isinstance(text, tuple):
            return tuple(str(Month.parse(each)) for each in text)
        return None if text is None else str(Month.parse(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
