"""A seed whose history disagrees comes in; a few of its records that still disagree go out, to be read and copied.

Records are dropped, the rest keeps its instants. A disagreement of another kind does not count: it would be another
story. Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002 (ddmin).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.support.auditor import Said
from tests.support.auditor.basics import text_of
from tests.support.auditor.comparison import Disagreement, Way, compare, way_of
from tests.support.histories import Histories

PLAIN_SIZES = ((1,), (10_000,))
"""Of transactions, tried first: a disagreement that takes neither chance nor a restart is easier to follow."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Report:
    """What a seed disagrees in, and the records it takes.

    Attributes:
        length: how many records the whole history has.
        is_smallest: none of the records can be dropped; else the time ran out.
    """

    seed: int
    length: int
    history: list[Said]
    way: Way
    disagreement: Disagreement
    is_smallest: bool

    def __str__(self) -> str:
        left = "none can be dropped" if self.is_smallest else "the time for shrinking ran out"
        return "\n".join(
            (
                f"seed {self.seed} disagrees: {self.disagreement}",
                f"{len(self.history)} of its {self.length} records suffice ({left}), in {self.way}:",
                "",
                "history = [",
                *(f"    Said({at}, {kind!r}, {body!r}),  # {text_of(at)}" for at, kind, body in self.history),
                "]",
                f"compare(history, {self.way!r})",
            )
        )


def history_of(seed: int) -> tuple[list[Said], Histories]:
    """All of its records; those up to the one over which the auditor stumbled, if it does."""
    histories = Histories(seed, auditor=way_of(seed).auditor())
    try:
        return list(histories), histories
    except Exception:
        if len(histories.auditor.outcomes) == len(histories.said):
            raise  # it is the generator that stumbled
        return histories.said, histories


def disagreement_of(seed: int) -> Disagreement | None:
    """What the two sides first disagree in over the history of a seed."""
    history, histories = history_of(seed)
    try:
        compare(history, way_of(seed), histories.auditor if len(histories.auditor.outcomes) == len(history) else None)
    except Disagreement as found:
        return found
    return None


def report_of(seed: int, seconds: float = 60) -> Report | None:
    """The same, shrunk as far as that time allows; None where the two sides agree."""
    found = disagreement_of(seed)
    return None if found is None else shrink(seed, history_of(seed)[0], way_of(seed), found, seconds)


def shrink(seed: int, history: list[Said], way: Way, found: Disagreement, seconds: float) -> Report:
    """Fewer of these records that still disagree, in the plainest way that does."""
    until, length = time.monotonic() + seconds, len(history)
    # What falls due after the last record may be what matters, and must not be lost with it.
    history = [*history, Said(history[-1].at, "tick", {})]
    for sizes in PLAIN_SIZES:
        plain = way._replace(sizes=sizes, reborn=False, seed=0, hurried=False)
        other = _same(history, plain, found)
        if other is not None:
            way, found = plain, other
            break
    history, is_smallest = shortest(
        history, lambda records: _same(records, way, found) is not None, lambda: time.monotonic() > until
    )
    return Report(seed, length, history, way, _same(history, way, found) or found, is_smallest)


def _same(history: Sequence[Said], way: Way, found: Disagreement) -> Disagreement | None:
    """A disagreement of the kind of the one found."""
    try:
        compare(history, way)
    except Disagreement as other:
        return other if other.kinds & found.kinds else None
    return None


def shortest(
    items: list[Item], still_fails: Callable[[list[Item]], bool], is_over: Callable[[], bool]
) -> tuple[list[Item], bool]:
    """Drop what is not needed: the end, found by halving, then ever smaller pieces, at last one by one.

    Returns:
        What is left, which fails; and whether none of it can be dropped, that is, it was not over before.
    """
    passes, fails = 0, len(items)
    while fails - passes > 1 and not is_over():
        middle = (passes + fails) // 2
        passes, fails = (passes, middle) if still_fails(items[:middle]) else (middle, fails)
    items = items[:fails]
    size = max(1, len(items) // 2)
    while not is_over():
        before = len(items)
        start = 0
        while start < len(items) and not is_over():
            rest = items[:start] + items[start + size :]
            if still_fails(rest):
                items = rest
            else:
                start += size
        if size > 1:
            size //= 2
        elif len(items) == before and not is_over():
            return items, True
    return items, False
