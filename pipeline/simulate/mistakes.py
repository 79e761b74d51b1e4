"""Mistakes in an accounts file, in words: what pydantic found goes in; line, key and what to write come out."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path as File
from typing import Any

from pydantic import BaseModel

from pipeline.errors import Mendable
from pipeline.simulate.yaml_text import Document, Path

_SHOWN = 10

EXAMPLES = {
    "at": "2026-02-11T22:40:00Z",
    "by": "owner",
    "org_id": "northwind",
    "plan": "enterprise",
    "primary_owner": "nadia",
    "user_id": "bruno",
    "seat_tier": "premium",
    "limit_usd": "15.00",
    "amount_usd": "100.00",
    "threshold_usd": "10.00",
    "expires_at": "2026-12-31T00:00:00Z",
    "percents": "[50, 80, 100]",
    "enabled": "on",
    "payment_id": "payment-1",
    "command": "set_organization_limit",
}
"""What a person may write for a key that is missing."""

_WORDS = {
    "list_type": "write a list, each entry on a line of its own with a dash before it",
    "model_type": "write keys with values below it",
    "dict_type": "write keys with values below it",
    "model_attributes_type": "write keys with values below it",
    "string_pattern_mismatch": "an id has 1 to 128 printable ASCII characters and no space",
    "bool_parsing": "write on or off",
    "bool_type": "write on or off",
    "int_parsing": "write a whole number",
    "string_type": "write a text",
}


class AccountsFileError(Mendable):
    """The accounts file cannot be used: every mistake with its line, its key and what to write."""


class Mistakes:
    """Collects what is wrong with one file."""

    def __init__(self, file: File, document: Document) -> None:
        self._file = file
        self._document = document
        self._found: list[tuple[int, str]] = []

    def add(self, path: Path, what: str) -> None:
        """Something is wrong at a path."""
        line = self._document.line_of(path)
        self._found.append((line, f"{self._file}, line {line}: {_spelled(path)}: {what}"))

    def add_all(self, path: Path, problems: Iterable[Any], model: type[BaseModel] | None = None) -> None:
        """What pydantic found below a path; `model` knows which keys there are."""
        for problem in problems:
            where = (*path, *problem["loc"])
            known = _keys_at(model, problem["loc"][:-1])
            if problem["type"] == "missing":
                self.add(where[:-1], f"{where[-1]} is missing; write {_example(str(where[-1]))}")
            else:
                self.add(where, _words(problem, known))

    def raise_any(self) -> None:
        """Stop if something was found.

        Raises:
            AccountsFileError: with the first ten mistakes, by line.
        """
        if self._found:
            lines = [text for _, text in sorted(self._found, key=lambda mistake: mistake[0])]
            more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
            raise AccountsFileError("\n".join(lines[:_SHOWN] + more))


def known_or_similar(word: str, known: Iterable[str]) -> str:
    """What to say of a word that is none of those known."""
    known = list(known)
    similar = get_close_matches(word, known, n=1)
    return f"did you mean {similar[0]}?" if similar else f"known are {', '.join(known)}"


def _words(problem: Any, known: list[str]) -> str:
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"there is no such key; {known_or_similar(str(problem['loc'][-1]), known)}"
    if kind == "literal_error":
        return f"{value!r} is none of them; write {problem['ctx']['expected']}"
    if value is None:
        return f"it has no value; {_WORDS.get(kind, 'write one')}"
    shown = f"{value!r:.80}; " if isinstance(value, str) else ""
    if "amount is a string of dollars" in problem["msg"]:
        return f"{shown}write dollars with at most 2 decimals, such as 15.00"
    return shown + _WORDS.get(kind, str(problem["msg"]).removeprefix("Value error, "))


def _example(key: str) -> str:
    return f"`{key}: {EXAMPLES.get(key, '…')}`"


def _spelled(path: Path) -> str:
    spelled = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return spelled.removeprefix(".") or "the file"


def _keys_at(model: type[BaseModel] | None, loc: tuple[Any, ...]) -> list[str]:
    """The keys that are known where pydantic looked."""
    for step in loc:
        if model is None or isinstance(step, int):
            continue
        model = next((_model_in(field.annotation) for name, field in model.model_fields.items() if name == step), None)
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, getattr(annotation, "__args__", ()))), None)
