"""What the formats share: an open file comes in, readings go out; what is none is counted, and why.

A reading is an event as far as its source says it: fields of UsageEvent, of which organisation, member, product and
funding may be missing. Source: docs/rules.md R8, R9, R14.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO

import ijson

from schemas.instants import parse_instant
from schemas.usage import Funding

Reading = dict[str, Any]

LINE = "is_line"
"""True in a reading whose event_id is the text of its line: equal lines of a file are told apart by their number."""

_MOST_LINE_BYTES = 8 << 20
"""A document that does not end its first line within so much is read element by element."""


class NoUsage(Exception):
    """A record is no usage event, and why: records of the same text are counted together."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the person who imports says: whose organisation it is, and the rest where a record does not say it."""

    org_id: str | None = None
    user_id: str | None = None
    product: str | None = None
    funding: Funding | None = None


Complete = Callable[[Reading], Reading]
"""Adds what follows from the readings before it; called in the order of time."""


def _as_it_is(_told: Told) -> Complete:
    return lambda reading: reading


@dataclass(frozen=True, slots=True)
class Format:
    """How files of one kind are read.

    Attributes:
        pattern: which files of a folder are meant.
        read: the readings of a file, in any order; it holds one record at a time.
        comes_again: of readings of the same event_id the latest is the truth, and the others are not.
        complete: what each reading is given in the order of time.
    """

    pattern: str
    read: Callable[[BinaryIO], Iterator[Reading | NoUsage]]
    comes_again: bool = False
    complete: Callable[[Told], Complete] = _as_it_is


def records(file: BinaryIO, array: str) -> Iterator[Any]:
    """What a JSON file lists, one after the other: the file is one document, or has one a line.

    Args:
        array: in a document that is an object, the name of the array that is meant; an object without it is a record.

    Raises:
        ValueError: the file is no JSON; a single line that is none is a NoUsage among the others.
    """
    first = b"\n"
    while first and not first.strip():
        first = file.readline(_MOST_LINE_BYTES)
    file.seek(0)
    if first and _parsed(first) is None:
        yield from _elements(file, "item" if first.lstrip().startswith(b"[") else f"{array}.item")
        return
    for line in file:
        if not line.strip():
            continue
        match _parsed(line):
            case None:
                yield NoUsage("a line is no JSON")
            case dict() as document if isinstance(document.get(array), list):
                yield from document[array]
            case list() as listed:
                yield from listed
            case document:
                yield document


def each(things: Iterable[Any], made: Callable[[Any], Iterable[Any]], otherwise: str) -> Iterator[Any]:
    """What is made of each; a NoUsage stays one, and what is not of the shape that its format has becomes one.

    Args:
        otherwise: what to call it then.
    """
    for thing in things:
        try:
            if isinstance(thing, NoUsage):
                yield thing
            else:
                yield from made(thing)
        except NoUsage as none:
            yield none
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            yield NoUsage(f"{otherwise}: {type(error).__name__} {error}")


def _parsed(text: bytes) -> Any:
    """None: it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _elements(file: BinaryIO, prefix: str) -> Iterator[Any]:
    """The elements of one large array."""
    is_empty = True
    try:
        for element in ijson.items(file, prefix, use_float=True):
            is_empty = False
            yield element
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise ValueError(f"not JSON: {' '.join(str(error).split())[:100]}") from None
    if is_empty and prefix != "item":
        raise ValueError(f"neither an array, nor an object with one called {prefix.removesuffix('.item')!r}")


def instant(text: str) -> int:
    """UTC microseconds of an instant as programs write it: a space for the T, no offset for UTC, any decimals.

    Raises:
        NoUsage: it is none.
    """
    moment = str(text).strip().replace(" ", "T", 1)
    whole, point, rest = moment.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    if point:
        moment = f"{whole}.{rest[: min(digits, 6)]}{rest[digits:]}"
    if not moment.endswith(("Z", "z")) and "+" not in moment[10:] and "-" not in moment[10:]:
        moment += "Z"
    try:
        return parse_instant(moment)
    except (ValueError, OverflowError):
        raise NoUsage(f"no instant such as {str(text)[:40]!r} is known") from None


def uncached(with_cache: int, *cached: int) -> int:
    """Input tokens as we count them, of a source that counts cached ones among them (R9).

    Raises:
        NoUsage: there are more cached ones than all.
    """
    rest = with_cache - sum(cached)
    if rest < 0:
        raise NoUsage("more cached input tokens than input tokens: they are not counted among them here")
    return rest


def identity(*parts: object) -> str:
    """An id for a record that has none: the same record has the same one."""
    return sha256(json.dumps(parts, separators=(",", ":"), default=str).encode()).hexdigest()
