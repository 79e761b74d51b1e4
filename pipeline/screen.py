"""How tables look, whether on a screen or in a file: a hundred columns wide, headed by a line."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH = 100


def console(*, stderr: bool = False, markup: bool = True) -> Console:
    """A console of the screen's width, at most WIDTH; of WIDTH where there is no screen.

    Args:
        markup: False where brackets may come from elsewhere: they are shown as they are.
    """
    plain = Console(stderr=stderr)
    width = min(plain.width, WIDTH) if plain.is_terminal else WIDTH
    return Console(stderr=stderr, highlight=False, markup=markup, emoji=markup, width=width)


def title(what: str, more: str) -> RenderableType:
    """A heading."""
    return apart(Text.assemble((what, "bold"), f"  {more}"))


def apart(renderable: RenderableType) -> RenderableType:
    """With an empty line before it."""
    return Group("", renderable)


def table(*headings: str, right: Sequence[int] = ()) -> Table:
    """An empty table; the columns in `right` hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    for index, heading in enumerate(headings):
        made.add_column(heading, justify="right" if index in right else "left", overflow="fold")
    return made
