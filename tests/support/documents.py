"""Pages of the documentation come in; the commands that they show go out, with what they show of the answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder, pattern in (
        (ROOT, "*.md"),
        *((ROOT / name, "**/*.md") for name in ("docs", "examples", "pipeline", "sinks")),
    )
    for path in folder.glob(pattern)
)
KINDS = {"sh", "console", "text", "http"}
"""What the word after a fence may say: commands; commands, each after `$ `, with what they print; no commands."""

_FENCED = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# In a table a bar is escaped.
_IN_A_TABLE = re.compile(r"^\| `(\.venv/bin/[^`]+)`", re.MULTILINE)
_COMMENT = re.compile(r"\s+# .*$")


class Block(NamedTuple):
    """What lies between two fences; `line` is the first one's."""

    page: str
    line: int
    kind: str
    text: str


class Command(NamedTuple):
    """A command as it stands on a page, without its comment, and what is shown below it."""

    page: str
    line: int
    text: str
    printed: str = ""


def blocks(page: str) -> Iterator[Block]:
    """All fenced blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in _FENCED.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])


def commands(page: str) -> list[Command]:
    """All commands of a page in its order: those of fenced blocks, and before them those that begin a table's row."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [
        Command(page, text.count("\n", 0, row.start()) + 1, row[1].replace("\\|", "|"))
        for row in _IN_A_TABLE.finditer(text)
    ]
    for block in blocks(page):
        if block.kind in ("sh", "console"):
            found += _commands(block)
    return found


def _commands(block: Block) -> Iterator[Command]:
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.kind == "sh":
        yield from (Command(block.page, block.line, _COMMENT.sub("", line)) for line in lines if line.strip())
        return
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(block.page, block.line, _COMMENT.sub("", lines[start][2:]), "\n".join(lines[start + 1 : end]))
