"""The shape of a price book file: YAML text values come in, typed entries go out; README.md says what they mean."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _decimal(value: object) -> Decimal:
    if not isinstance(value, str) or re.fullmatch(r"\d{1,9}(\.\d{1,12})?", value) is None:
        raise ValueError('write a plain decimal, like "0.25"')
    return Decimal(value)


def _day(value: object) -> date:
    if not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\d", value) is None:
        raise ValueError("write a day as YYYY-MM-DD")
    return date.fromisoformat(value)


UsdRate = Annotated[Decimal, BeforeValidator(_decimal)]
Day = Annotated[date, BeforeValidator(_day)]


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenRates(Entry):
    """US dollars per million tokens; a kind that is left out has no price."""

    input: UsdRate | None = None
    output: UsdRate | None = None
    cache_read: UsdRate | None = None
    cache_write_5m: UsdRate | None = None
    cache_write_1h: UsdRate | None = None


class LongContext(Entry):
    """The token rates of every request whose prompt exceeds `over` tokens."""

    over: Annotated[int, Field(gt=0)]
    rates: TokenRates


class Block(Entry):
    """Rates and the variants they come in, or the end of a model's prices."""

    first_day: Day = Field(alias="from")
    source: Annotated[list[str], Field(min_length=1)]
    retired: Literal["true"] | None = None
    rates: TokenRates | None = None
    long: LongContext | None = None
    web_search: UsdRate | None = None  # US dollars per thousand
    batch: UsdRate | None = None
    fast: UsdRate | None = None
    us: UsdRate | None = None


class Model(Entry):
    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    names: Annotated[list[str], Field(min_length=1)]
    bedrock: list[str] = []
    vertex: list[str] = []
    blocks: Annotated[list[Block], Field(min_length=1)]


class Source(Entry):
    what: str
    read: Day


class Spellings(Entry):
    """How each platform writes a model's name; `NAME` stands for it."""

    names: str
    bedrock: str
    vertex: str


class SeatBlock(Entry):
    """List prices of an organisation's seats, US dollars a month, billed monthly; what is left out is not known."""

    first_day: Day = Field(alias="from")
    source: Annotated[list[str], Field(min_length=1)]
    standard: UsdRate | None = None
    premium: UsdRate | None = None


class Seats(Entry):
    """What the seats of a plan cost, from when each price is known."""

    plan: Literal["team", "enterprise"]
    blocks: Annotated[list[SeatBlock], Field(min_length=1)]


class Book(Entry):
    sources: dict[str, Source]
    spellings: Spellings
    models: list[Model]
    seats: list[Seats] = []
