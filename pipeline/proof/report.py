"""A proof goes in; what a person reads comes out: what became of events, what must be equal, and where it is not."""

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from pipeline.proof.equation import OUTCOMES, Equation
from pipeline.proof.outcome import PartitionProof, Proof, Tally
from pipeline.screen import apart, table, title
from schemas.instants import format_instant


def report(proof: Proof) -> RenderableType:
    """All of it, the verdict last."""
    return Group(
        title("Proof", "nothing lost, nothing doubled, to the last picodollar"),
        _as_of(proof.partitions),
        events_read(proof.counts["usage_events"], proof.counts),
        equal(proof.tallies.values()),
        *map(_difference, [part for part in proof.partitions if part.first is not None]),
        *_not_provable(proof.not_provable),
        verdict(proof),
    )


def events_read(read: int, counts: Mapping[str, int]) -> RenderableType:
    """What became of every event."""
    parts = " + ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in OUTCOMES)
    return apart(Text(f"{read:,} events read = {parts}"))


def equal(compared: Iterable[Equation | Tally]) -> RenderableType:
    """What must be equal, one line each, or one for each value where there are several."""
    lines = table("must be equal", "", "found in", right=(1,))
    for one in compared:
        mark = Text("✓ ", "green") if one.agrees else Text("✗ ", "bold red")
        for amount, where in _amounts(one):
            lines.add_row(mark + one.what, amount, where)
    return apart(lines)


def verdict(proof: Proof) -> RenderableType:
    """Whether all hold."""
    tallies = proof.tallies.values()
    compared, differing = sum(tally.compared for tally in tallies), sum(tally.differing for tally in tallies)
    if not differing:
        return apart(Text(f"All {compared:,} sums agree.", "bold green"))
    return apart(Text(f"{differing:,} of {compared:,} sums do not agree.", "bold red"))


def _as_of(parts: list[PartitionProof]) -> RenderableType:
    lines = table(
        "part.",
        "trans-\naction",
        "ledger time",
        "read",
        "accepted",
        "dupli-\ncates",
        "dead\nletters",
        "for-\nwarded",
        "rows",
        right=(1, 3, 4, 5, 6, 7, 8),
    )
    lines.columns[2].no_wrap = True
    for part in parts:
        at, counts = part.as_of, part.counts
        columns = [f"{counts[name]:,}" for name in ("usage_events", *OUTCOMES, "rows")]
        when = format_instant(at.now_micros)[:19].replace("T", " ") if at.now_micros else "–"
        lines.add_row(str(at.partition), f"{at.seq:,}", when, *columns)
    return apart(lines)


def _difference(part: PartitionProof) -> RenderableType:
    """The one that says most closely whose it is, and where its cause lies; then the others."""
    first = part.first
    assert first is not None
    others = [f"{equation.what}: {_values(equation)}" for equation in part.all_known_differences[1:]]
    return apart(
        Text("\n").join(
            [
                Text(f"partition {part.as_of.partition}: {first.what}: {_values(first)}", "bold red"),
                Text(f"  {part.where}", "bold"),
                *(Text(f"  also {other}") for other in others),
            ]
        )
    )


def _values(equation: Equation) -> str:
    return ", ".join(f"{amount} in {where}" for amount, where in _amounts(equation))


def _amounts(one: Equation | Tally) -> list[tuple[str, str]]:
    """Each value once, with everywhere it was found."""
    found: dict[int, list[str]] = {}
    for where, value in one.values.items():
        found.setdefault(value, []).append(where)
    return [(one.amount(value), " = ".join(where)) for value, where in found.items()]


def _not_provable(what: list[str]) -> list[RenderableType]:
    if not what:
        return []
    return [apart(Text(f"Kafka does not keep all of these any more, so they are not asked: {', '.join(what)}."))]
