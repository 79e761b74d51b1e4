"""Cases and outcomes go in; tables for people and documents for programs come out.

What producers sent is shown without what could move a terminal: everything that does not print is escaped.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.dead_letters.cases import Case
from pipeline.dead_letters.deciding import Outcome
from pipeline.dead_letters.reasons import REMEDIES
from schemas.dead_letters import DeadLetter, DeadLetterDecision, Reason
from schemas.instants import format_instant

_FILE_WIDTH = 1_000
_HEX_BYTES = 256


def print_for_people(*parts: RenderableType) -> None:
    """As wide as the screen; into a file, as wide as it takes."""
    screen = Console(highlight=False)
    width = screen.width if screen.is_terminal else _FILE_WIDTH
    Console(highlight=False, width=width).print(Group(*parts))


# A list.


def document_of_cases(cases: Sequence[Case], matching: int) -> dict[str, Any]:
    """For programs; payloads are left to `show`."""
    return {"matching": matching, "dead_letters": [document_of_case(case) for case in cases]}


def document_of_case(case: Case) -> dict[str, Any]:
    """A dead letter as it lies in its topic, but for its payload, and what became of it."""
    remedy = REMEDIES[case.letter.reason]
    return {
        **case.letter.model_dump(mode="json", exclude={"payload"}),
        "state": case.decision.decision if case.decision else "open",
        "decision": case.decision.model_dump(mode="json", exclude={"dead_letter_id"}) if case.decision else None,
        "refused_again_as": case.refused_again_as,
        "mended_by": remedy.mended_by,
        "redriving_can_help": remedy.by_redriving,
    }


def table_of_cases(cases: Sequence[Case], matching: int) -> RenderableType:
    """A line each, and what mends the reasons of those that are open."""
    if not cases:
        return Text("no dead letters")
    table = _table("dead letter", "arrived", "reason", "organisation", "member", "event", "tokens", "what became of it")
    table.columns[6].justify = "right"
    for case in cases:
        letter = case.letter
        cells = (letter.org_id, letter.user_id, letter.event_id, f"{letter.tokens:,}", _fate(case))
        table.add_row(
            letter.dead_letter_id, _when(letter.arrived_at_micros), letter.reason, *(_text(cell) for cell in cells)
        )
    more = f"{len(cases):,} of {matching:,}, the newest; --limit shows more" if matching > len(cases) else ""
    return Group(table, *_remedies(case.letter.reason for case in cases if case.is_open), *([more] if more else ()))


def _remedies(reasons: Iterable[Reason]) -> list[RenderableType]:
    counts = Counter(reasons)
    if not counts:
        return []
    table = _table("open", "reason", "what mends it")
    table.columns[0].justify = "right"
    for reason, count in counts.most_common():
        table.add_row(f"{count:,}", reason, REMEDIES[reason].mended_by)
    return [table]


def _fate(case: Case) -> str:
    decision = case.decision
    if decision is None:
        return "open"
    again = f"; refused again as {case.refused_again_as}" if case.refused_again_as else ""
    return f"{_verdict(decision)}{again}"


def _verdict(decision: DeadLetterDecision) -> str:
    why = f": {decision.why}" if decision.why else ""
    return f"{decision.decision} {_when(decision.at_micros)} by {decision.by}{why}"


# One.


def document_of_one(case: Case, letter: DeadLetter) -> dict[str, Any]:
    """For programs: all there is, the payload as base64 and, where it can be read, as text."""
    return document_of_case(case) | {"payload": letter.payload, "text": _readable(base64.b64decode(letter.payload))}


def page_of_one(case: Case, letter: DeadLetter) -> RenderableType:
    """For people: all there is, the payload last."""
    origin = letter.origin
    kept = base64.b64decode(letter.payload)
    facts = {
        "dead letter": letter.dead_letter_id,
        "reason": letter.reason,
        "detail": letter.detail,
        "mended by": REMEDIES[letter.reason].mended_by,
        "what became of it": _fate(case),
        "arrived": format_instant(letter.arrived_at_micros),
        "origin": f"{origin.topic}[{origin.partition}] offset {origin.offset}, event {origin.index}",
        "organisation": letter.org_id,
        "member": letter.user_id,
        "event": letter.event_id,
        "model": letter.model,
        "tokens": f"{letter.tokens:,}",
        "bytes": f"{letter.length_bytes:,}, SHA-256 {letter.sha256}",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _text(value))
    return Group(table, "", *_payload(kept, letter.length_bytes))


def _payload(kept: bytes, length_bytes: int) -> list[RenderableType]:
    heads = [f"the first {len(kept):,} bytes; the rest lies at the origin"] if len(kept) < length_bytes else []
    text = _readable(kept)
    if text is None:
        heads.append(f"no UTF-8; the first {min(len(kept), _HEX_BYTES)} bytes in hex, all of it as base64 with --json")
        text = kept[:_HEX_BYTES].hex(" ")
    return [*(Text(head, "italic") for head in heads), Text(printable(text))]


def _readable(kept: bytes) -> str | None:
    """JSON laid out, other text as it is; None for what is no text. A character cut in two at the end is left out."""
    try:
        text = kept.decode()
    except UnicodeDecodeError as error:
        if error.end < len(kept) or len(kept) - error.start > 3:
            return None
        text = kept[: error.start].decode()
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def printable(text: str) -> str:
    """The text with everything escaped that does not print, but for ends of lines."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode() for each in text
    )


# What a verdict came to.


def document_of_outcome(outcome: Outcome, verdict: str, *, dry_run: bool) -> dict[str, Any]:
    """For programs."""
    return {
        "dry_run": dry_run,
        verdict: outcome.decided,
        "decided_before": outcome.decided_before,
        "held_back": [{"dead_letter_id": one, "why": why} for one, why in outcome.held_back.items()],
    }


def page_of_outcome(outcome: Outcome, verdict: str, *, dry_run: bool) -> RenderableType:
    """For people."""
    would = "would be " if dry_run else ""
    lines = [f"{outcome.decided:,} {would}{verdict}"]
    if outcome.decided_before:
        lines.append(f"{outcome.decided_before:,} left alone: somebody has decided meanwhile")
    if not outcome.held_back:
        return Text("\n".join(lines))
    table = _table("dead letter", "held back, and open still")
    for one, why in outcome.held_back.items():
        table.add_row(one, _text(why))
    return Group(Text("\n".join(lines)), table)


# Small things.


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _text(value: str | None) -> Text:
    return Text("–" if value is None else printable(value))


def _when(micros: int) -> str:
    return format_instant(micros)[:19].replace("T", " ")
