"""Corrections: the right event and the one it replaces come in; two rows and what follows from them go out (R15).

The reverse takes back exactly what was charged: the same price id, the same seat tier. The right one is priced from the
same price block. Spend moves by the difference, once.
"""

from typing import Any, NamedTuple

import msgspec

from pipeline.domain import limits, wallet
from pipeline.domain.booking import Booking
from pipeline.domain.charging import AFTER_PAUSE, PREMIUM, Charging, Rejected, Span
from pipeline.domain.compiled import Usage
from pipeline.domain.invoicing import draft_line
from pipeline.domain.limits import Occasion
from pipeline.domain.pricing import CostParts, NoPrice, Rates, cost_parts, prompt_tokens, quantities
from pipeline.domain.rows import Origin
from pipeline.domain.settling import settle
from pipeline.domain.state import Member, Organization
from schemas.base import SeatTier
from schemas.dead_letters import Reason
from schemas.instants import format_instant
from schemas.ledger import EntryCause

_encode = msgspec.json.Encoder().encode
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_search_requests",
)
_SAME = ("user_id", "product", "model", "occurred_at", "funding")


class Original(NamedTuple):
    """The event that was taken: what it said, and what was remembered of how it was charged."""

    usage: Usage
    block_tag: int
    flags: int

    @property
    def seat_tier(self) -> SeatTier:
        """The seat it was charged in (R30)."""
        return "premium" if self.flags & PREMIUM else "standard"


def check(usage: Usage, original: Original) -> None:
    """Counts and variant may differ, nothing else.

    Raises:
        Rejected: something else does.
    """
    different = [name for name in _SAME if getattr(usage, name) != getattr(original.usage, name)]
    if different:
        raise Rejected(Reason.CORRECTION_MISMATCH, f"a correction cannot change {', '.join(different)}")


def correct(
    charging: Charging,
    organization: Organization,
    member: Member,
    usage: Usage,
    original: Original,
    arrived_at_micros: int,
    offset: int,
    index: int,
    origin: Origin | None,
) -> None:
    """Book the reverse and the right one; limits and wallet are looked at once, after both.

    Raises:
        Rejected: the block has no price for the right one; nothing changed.
    """
    state = charging.state
    priced = [
        (original.usage, *_price(charging, original.usage, original)),
        (usage, *_price(charging, usage, original)),
    ]
    (_, _, wrong), (_, _, right) = priced
    difference = sum(right) - sum(wrong)
    span = charging.span(usage.occurred_at_micros)
    month = state.month_of(organization, span.charge_month)
    for leg, (what, rates, parts) in enumerate(priced):
        sign = 1 if leg else -1
        organization.org_seq += 1
        row = _row(usage, original, leg, sign, what, rates, sum(parts), span, arrived_at_micros)
        place: dict[str, Any] = {
            "org_seq": organization.org_seq,
            "input_partition": charging.partition,
            "input_offset": offset,
        }
        if origin is not None:
            place |= dict(
                zip(("origin_topic", "origin_partition", "origin_offset", "origin_index"), origin, strict=True)
            )
        charging.rows += (_encode(row | place | ({"input_index": index} if index else {}))[:-1], b"}\n")
    month.rows += 2
    state.touch(month)
    state.touch(organization)
    if usage.funding != "credits":
        month.included_picousd += difference
        return
    crossing = charging.crossing(usage, offset, index)
    if span.is_open:
        own = state.month_of_member(organization, member, span.charge_month)
        tier = state.month_of_tier(organization, span.charge_month, original.seat_tier)
        for cell in (own, tier, month):
            cell.spend_picousd += difference
            state.touch(cell)
        occasion = Occasion(state, organization, arrived_at_micros, "correction", crossing)
        charging.events += limits.charged(occasion, member, own, tier)
    else:
        month.prior_period_picousd += difference
    if organization.plan != "team":
        month.unsettled_picousd += difference
        for leg, (what, rates, _) in enumerate(priced):
            line = draft_line(state, month, span.usage_month, usage.product, rates)
            line.add(quantities(what), 1 if leg else -1)
    elif difference >= 0:
        month.unsettled_picousd += difference
        organization.wallet.balance_picousd -= difference
        state.touch(organization.wallet)
        charging.look_at_wallet(organization, arrived_at_micros, crossing)
    else:
        charging.events += settle(state, organization, arrived_at_micros)
        cause = EntryCause(kind="usage", id=usage.event_id)
        booking = Booking(state, organization, organization.wallet, arrived_at_micros, cause=cause)
        charging.events += wallet.correct(booking, -difference, span.charge_month)
        organization.note_stops()
        state.tell(organization)


def _price(charging: Charging, usage: Usage, original: Original) -> tuple[Rates, CostParts]:
    try:
        rates = charging.prices.rates_of_block(
            original.block_tag, prompt_tokens(usage), usage.processing, usage.speed, usage.inference_geo
        )
        return rates, cost_parts(rates, *quantities(usage))
    except NoPrice as error:
        raise Rejected(error.reason, str(error)) from None


def _row(
    usage: Usage,
    original: Original,
    leg: int,
    sign: int,
    what: Usage,
    rates: Rates,
    cost_picousd: int,
    span: Span,
    arrived_at_micros: int,
) -> dict[str, Any]:
    """One of the two rows, as schemas.priced.PricedUsage has it."""
    each = (rates.input, rates.output, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h, rates.web_search)
    row: dict[str, Any] = {
        "org_id": usage.org_id,
        "user_id": usage.user_id,
        "event_id": usage.event_id,
        "source": usage.source,
        "product": usage.product,
        "model": usage.model,
        "occurred_at": usage.occurred_at,
        "arrived_at": format_instant(arrived_at_micros),
        "funding": usage.funding,
        "price_id": rates.price_id,
        "rates_picousd": [str(rate or 0) for rate in each],
        "usage_month": span.usage_month,
        "charge_month": span.charge_month,
        "seat_tier": original.seat_tier,
        "cost_picousd": str(sign * cost_picousd),
        "corrects": original.usage.event_id,
        "leg": leg,
        "after_pause": bool(original.flags & AFTER_PAUSE),
        "processing": what.processing,
        "speed": what.speed,
        "inference_geo": what.inference_geo,
    }
    return row | {name: sign * getattr(what, name) for name in _COUNTS}
