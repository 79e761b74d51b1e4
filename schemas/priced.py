"""One priced row: a usage event with what it cost and why, as it lies in `priced-usage` and ClickHouse (R12, R42)."""

from typing import Annotated

from pydantic import Field

from schemas.base import Count, Identifier, Model, OptionalIdentifier, SeatTier
from schemas.instants import Instant
from schemas.money import Picousd
from schemas.month import MonthText
from schemas.usage import Funding


class PricedUsage(Model):
    """A row; `cost_picousd` is the sum over what was used of quantity times rate, exactly.

    `model` is as the event has it; `price_id` begins with the model's own name. `rates_picousd` are those of the price
    id: per input, output, cache read, 5 minutes' and 1 hour's cache write token, and per web search.

    `leg` is 0 for a row or a correction's reverse (quantities and costs negative), 1 for its rebooking (R15).
    `input_*` is where the ledger processed the event in `usage-events`; `origin_*` is where the event first lay,
    absent where that is the same place (R43).
    """

    org_id: Identifier
    org_seq: Count
    user_id: Identifier
    seat_tier: SeatTier
    event_id: Identifier
    source: OptionalIdentifier = ""
    product: Identifier
    model: Identifier
    price_id: str
    rates_picousd: Annotated[tuple[Picousd, ...], Field(strict=False, min_length=6, max_length=6)]
    occurred_at_micros: Instant = Field(alias="occurred_at")
    arrived_at_micros: Instant = Field(alias="arrived_at")
    usage_month: MonthText
    charge_month: MonthText
    funding: Funding
    after_pause: bool = False
    processing: Identifier = "standard"
    speed: Identifier = "standard"
    inference_geo: OptionalIdentifier = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_search_requests: int = 0
    cost_picousd: Picousd
    corrects: OptionalIdentifier = ""
    leg: Annotated[int, Field(ge=0, le=1)] = 0
    input_partition: Count
    input_offset: Count
    input_index: Count = 0
    origin_topic: str | None = None
    origin_partition: Count | None = None
    origin_offset: Count | None = None
    origin_index: Count | None = None

    @property
    def parts_picousd(self) -> tuple[int, ...]:
        """What each kind cost, in the order of the rates."""
        quantities = (
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_5m_tokens,
            self.cache_write_1h_tokens,
            self.web_search_requests,
        )
        return tuple(quantity * rate for quantity, rate in zip(quantities, self.rates_picousd, strict=True))
