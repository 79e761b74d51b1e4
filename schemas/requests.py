"""Requests for credits or a Premium seat: the words for them, and the digest that reviewers get (R35-R37)."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Identifier, Model, SeatTier
from schemas.events import LedgerEvent
from schemas.instants import Instant
from schemas.money import Picousd

RequestKind = Literal["credits", "premium_seat"]


class PendingRequest(Model):
    """What a reviewer sees of a request."""

    request_id: Identifier
    user_id: Identifier
    kind: RequestKind
    seat_tier: SeatTier
    asked_at_micros: Instant = Field(alias="asked_at")
    spend_picousd: Picousd


class RequestsDigest(LedgerEvent):
    """All outstanding requests of an organisation, once a day; none outstanding, no digest."""

    TYPE: ClassVar[str] = "usage-credits.requests.digest"

    day: str
    requests: tuple[PendingRequest, ...] = Field(strict=False, min_length=1)

    def identity(self) -> tuple[object, ...]:
        """One a day."""
        return (self.day,)
