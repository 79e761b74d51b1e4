"""The model every wire form is made of: strict, frozen, and without room for a field nobody knows."""

from collections.abc import Sequence
from json import dumps
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SeatTier = Literal["standard", "premium"]

Identifier = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
"""1-128 printable ASCII characters without spaces, compared byte for byte (R14)."""

OptionalIdentifier = Annotated[str, StringConstraints(pattern=r"^[!-~]{0,128}$")]

Count = Annotated[int, Field(ge=0)]


class Model(BaseModel):
    """Strict and frozen; fields are read and written by their wire names."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def trusted(cls, **fields: Any) -> Self:
        """A model of fields that are known to be right: all of them, by name; nothing is validated.

        What pydantic's model_construct does, without its walk over fields, aliases and defaults.
        """
        made = cls.__new__(cls)
        put = object.__setattr__
        put(made, "__dict__", fields)
        put(made, "__pydantic_fields_set__", set(fields))
        put(made, "__pydantic_extra__", None)
        put(made, "__pydantic_private__", None)
        return made


def is_identifier(text: str) -> bool:
    """Whether `text` is an Identifier; what the pattern says, at a fifth of its cost."""
    return 0 < len(text) <= 128 and _is_printable_ascii(text)


def quoted(identifier: str) -> str:
    """An identifier as JSON: of printable ASCII only two characters are written otherwise."""
    return dumps(identifier) if '"' in identifier or "\\" in identifier else f'"{identifier}"'


def are_identifiers(texts: Sequence[str]) -> bool:
    """Whether each of them is an Identifier, looked at together."""
    return all(texts) and max(map(len, texts), default=0) <= 128 and _is_printable_ascii("".join(texts))


def _is_printable_ascii(text: str) -> bool:
    """Neither control characters nor spaces."""
    return text.isascii() and text.isprintable() and " " not in text
