"""A file's name, or none, comes in; where to write goes out: the file, whole or not there, or stdout."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import Mendable


@contextmanager
def opened(output: Path | None) -> Iterator[BinaryIO]:
    """Where to write, stdout if no file is named; a file takes its name once all of it is written.

    Raises:
        Mendable: its folder is not there.
    """
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if not output.parent.is_dir():
        raise Mendable(f"{output.parent} is not a folder; make it, or name another file with --output")
    unfinished = output.with_name(output.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
