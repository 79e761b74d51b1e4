"""What importers share: readings of files come in, usage events go out; what cannot be one is counted, and why.

A reading is an event as far as its source says it: fields of UsageEvent, of which organisation, member, product and
funding may be missing. Source: docs/rules.md R8, R9, R14.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.instants import parse_instant
from schemas.usage import Funding, UsageEvent

Reading = dict[str, Any]


class NoUsage(Exception):
    """A record is no usage event, and why: records of the same text are counted together."""


Reader = Callable[[Path], Iterator[Reading | NoUsage]]


@dataclass(frozen=True, slots=True)
class Told:
    """What the person who imports says: whose organisation it is, and the rest where a record does not say it."""

    org_id: str | None = None
    user_id: str | None = None
    product: str | None = None
    funding: Funding = "credits"


def usage_events(readings: Iterable[Reading | NoUsage], told: Told, skipped: Counter[str]) -> Iterator[UsageEvent]:
    """One event per reading; those that cannot be one are counted in `skipped`."""
    for reading in readings:
        if isinstance(reading, NoUsage):
            skipped[str(reading)] += 1
            continue
        said = {name: value for name, value in reading.items() if value is not None}
        given = {"org_id": told.org_id} if told.org_id else {}
        otherwise = {"user_id": told.user_id, "product": told.product, "funding": told.funding}
        fields = {name: value for name, value in otherwise.items() if value is not None} | said | given
        try:
            yield UsageEvent.model_validate(fields)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            skipped[
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}{_HINTS.get(str(problem['loc'][0]), '')}"
            ] += 1


_HINTS = {
    "org_id": "; say --org-id",
    "user_id": "; say --user-id",
    "product": "; say --product",
}


def documents(path: Path) -> Iterator[Any]:
    """The JSON documents of a file: one, or one a line.

    Raises:
        ValueError: it is neither; says which line.
    """
    text = path.read_text(encoding="utf-8")
    try:
        yield json.loads(text)
        return
    except ValueError as error:
        if "\n" not in text.strip():
            raise ValueError(f"{path}: not JSON: {error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not JSON: {error}") from None


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
