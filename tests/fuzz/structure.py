"""Mutations of what a record says: its JSON value and chance in; a value that is a little or quite wrong out."""

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

_LONGEST = "!" + "~" * 127
_TEXTS = (
    *(
        "",
        " ",
        "a b",
        "a\n",
        "\x00",
        "\x7f",
        "ü",
        "é",
        "１",
        "٣",
        "\ud800",
        "\U0001f4b0",
        "\u202e",
        "\ufeff",
        "null",
        "-",
    ),
    *("x" * 127, _LONGEST, "x" * 129, "x" * 5_000, "'; DROP TABLE", "../..", "%00", '"', "\\", '\\"', "a,b", "[", "{"),
)
_NUMBERS = (
    *(0, -0.0, 1, -1, 1.0, 1.5, 1e2, 1e300, float("nan"), float("inf"), 300, 100_000, 100_001, 99_999_999, 100_000_000),
    *(100_000_001, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**25, 10**400, -(2**63), -(10**30)),
)
_INSTANTS = (
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59.999999Z"),
    *("2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z", "2026-05-10T24:00:00Z"),
    *("2026-06-30T23:59:60Z", "2026-05-31T23:59:59.999999Z", "2026-06-01T00:00:00Z", "2026-06-01T00:00:00+14:00"),
    *("2026-05-10T12:00:00-23:59", "2026-05-10T12:00:00+24:00", "2026-05-10T12:00:00", "2026-05-10", "12:00:00Z"),
    *("2026-05-10T12:00:00.Z", "2026-05-10T12:00:00.1234567Z", "2026-05-10t12:00:00z", "２026-05-10T12:00:00Z"),
    *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01", "99999-01-01T00:00:00Z", "2026-05-10T12:00:00Z5Z"),
    *("2026-05-10T12:00:00+00:00:30", " 2026-05-10T12:00:00Z", "2026-W19-7T12:00:00Z", "1778414400", "now"),
)
_AMOUNTS = ("0", "0.00", "0.001", "-1", "1e3", "1_000", "+1", " 1", "01", "999999999.99", "1000000000", "NaN", "２", "")
_IDENTIFIERS = ("acme", "fleeting", "cinder", "nobody", "ann", "owner", "a", "!", "~", _LONGEST, "claude-sonnet-4-6")
_WORDS = ("us", "global", "not_available", "batch", "fast", "standard", "premium", "credits", "included", "1.0", "2.0")
_OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"a": 1}, [1, 2, 3])
_ANY = (*_TEXTS, *_NUMBERS, *_OTHERS, *_INSTANTS, *_AMOUNTS, *_IDENTIFIERS, *_WORDS)
_NEW_NAMES = (
    *("tokens", "occurred_at_micros", "specversion", "data", "id", "source", "corrects", "", "ü", "\x00", "__class__"),
    *("subject", "traceparent", "datacontenttype", "x" * 5_000),
)

Mutation = Callable[[Random, dict[str, Any]], None]


def mutate(chance: Random, value: Any) -> Any:
    """A copy in which one to three things are different."""
    found = deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if chance.random() < 0.03:
            found = chance.choice(([found], {"data": found}, [found, found], [[found]], *_OTHERS))
        elif objects := [one for one in _objects(found) if one]:
            chance.choice(_MUTATIONS)(chance, chance.choice(objects))
    return found


def _objects(value: Any) -> list[dict[str, Any]]:
    """All objects in it, the outer ones first."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] * isinstance(value, dict) + [found for one in inner for found in _objects(one)]


def _drop(chance: Random, value: dict[str, Any]) -> None:
    del value[chance.choice(list(value))]


def _rename(chance: Random, value: dict[str, Any]) -> None:
    name = chance.choice(list(value))
    other = chance.choice((name.upper(), name + "_", name[1:], name.replace("_", "-"), *_NEW_NAMES, *value))
    value[other] = value.pop(name)


def _retype(chance: Random, value: dict[str, Any]) -> None:
    value[chance.choice(list(value))] = chance.choice(_ANY)


def _another(chance: Random, value: dict[str, Any]) -> None:
    """Another value of the kind that belongs there."""
    name = chance.choice(list(value))
    value[name] = chance.choice(_kind(name, value[name]))


def _kind(name: str, value: Any) -> tuple[Any, ...]:
    if name.endswith("_at") or name == "time":
        return _INSTANTS
    if name.endswith("_usd"):
        return _AMOUNTS
    if isinstance(value, int | float):
        return _NUMBERS
    if name.endswith("_id") or name in ("id", "source", "product", "model"):
        return (*_IDENTIFIERS, *_TEXTS)
    return (*_WORDS, *_OTHERS)


def _nest(chance: Random, value: dict[str, Any]) -> None:
    name = chance.choice(list(value))
    value[name] = chance.choice(([value[name]], {name: value[name]}, {"value": value[name]}))


def _swap(chance: Random, value: dict[str, Any]) -> None:
    one, other = chance.choice(list(value)), chance.choice(list(value))
    value[one], value[other] = value[other], value[one]


def _add(chance: Random, value: dict[str, Any]) -> None:
    value[chance.choice(_NEW_NAMES)] = chance.choice(_ANY)


def _retell(chance: Random, value: dict[str, Any]) -> None:
    """Defaults and variants written out: mostly still an event."""
    value |= chance.choice(
        (
            {"processing": None, "speed": None, "inference_geo": None, "corrects": None},
            {"processing": "standard", "speed": "standard", "inference_geo": "global"},
            {"processing": "batch"},
            {"speed": "fast"},
            {"inference_geo": "us"},
            {"input_tokens": 100_000_000, "output_tokens": 100_000_000, "web_search_requests": 100_000},
            {"source": ""},
        )
    )


def _reorder(chance: Random, value: dict[str, Any]) -> None:
    items = list(value.items())
    chance.shuffle(items)
    value.clear()
    value.update(items)


_MUTATIONS: tuple[Mutation, ...] = (_drop, _rename, _retype, _another, _another, _nest, _swap, _add, _retell, _reorder)
