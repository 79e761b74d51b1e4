"""Charging usage: one accepted event comes in; priced, added to its month, and its row and what it crossed go out.

The hot path of the product: called once per event. It looks at the event, its organisation, its member and three
months' cells, and at nothing that grows. Source: docs/rules.md R8-R12, R16-R20, R24, R25, R29.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from pipeline.domain import limits
from pipeline.domain.compiled import PricedRow, Usage
from pipeline.domain.pricing import CompiledPrices, CostParts, NoPrice, Rates, cost_parts, prompt_tokens, quantities
from pipeline.domain.state import Member, MemberMonth, Organization, OrganizationMonth, State, TierMonth
from schemas.dead_letters import Reason
from schemas.events import Crossing, LimitBreached
from schemas.instants import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, format_instant
from schemas.month import Month

AHEAD_MICROS = 5 * MICROS_PER_MINUTE
_SAME_PLACE = (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set; it goes into the journal's rules version."""

    horizon_days: int = 35
    grace_hours: int = 72

    @property
    def horizon_micros(self) -> int:
        """How old an event may be at its first arrival (R17)."""
        return self.horizon_days * MICROS_PER_DAY

    @property
    def grace_micros(self) -> int:
        """How long after its end a month stays open for late usage (R19)."""
        return self.grace_hours * MICROS_PER_HOUR


class Where(NamedTuple):
    """Where the ledger processes an event, and where it first lay if that is elsewhere (R43)."""

    partition: int
    offset: int
    position: int  # in its record
    origin: tuple[str, int, int, int] | None  # topic, partition, offset, position


class Rejected(Exception):
    """The event becomes a dead letter; nothing was changed."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Charged(NamedTuple):
    """What one event led to: its row, the breach it caused if any, and the price block a correction will need (R15)."""

    row: PricedRow
    breach: LimitBreached | None
    block_tag: int


class Charging:
    """Charges events against one partition's state."""

    def __init__(self, state: State, prices: CompiledPrices, rules: Rules) -> None:
        self.state = state
        self.prices = prices
        self.rules = rules

    def charge(self, usage: Usage, arrived_at_micros: int, where: Where) -> Charged:
        """Price one event and add it to spend.

        Args:
            usage: decoded and new (its identity was not seen before).
            arrived_at_micros: its first arrival.

        Raises:
            Rejected: it cannot be priced, is too old or ahead of time, or nobody knows its member.
        """
        state = self.state
        organization = state.organizations.get(usage.org_id)
        if organization is None:
            raise Rejected(Reason.UNKNOWN_ORGANIZATION, f"organization {usage.org_id} is not registered")
        member = organization.members.get(usage.user_id)
        if member is None:
            raise Rejected(Reason.UNKNOWN_MEMBER, f"{usage.user_id} is no member of {usage.org_id}")
        self._check_age(usage.occurred_at_micros, arrived_at_micros)
        try:
            rates = self.prices.rates(
                usage.model,
                usage.occurred_at_micros,
                prompt_tokens(usage),
                usage.processing,
                usage.speed,
                usage.inference_geo,
            )
            parts = cost_parts(rates, *quantities(usage))
        except NoPrice as error:
            raise Rejected(error.reason, str(error)) from None
        cost_picousd = sum(parts)

        usage_month = month_name(usage.occurred_at_micros)
        calendar = state.calendar
        charge_month = usage_month if usage_month > calendar.closed_through else calendar.month
        month = organization.months.get(charge_month) or state.month_of(organization, charge_month)
        month.rows += 1
        state.touch(month)
        state.touch(organization)
        is_credits = usage.funding == "credits"
        after_pause = is_credits and (not organization.credits_enabled or limits.is_paused(state, organization))
        row = _row(usage, arrived_at_micros, where, organization, member, rates, parts, charge_month, after_pause)
        if not is_credits:
            month.included_picousd += cost_picousd
            return Charged(row, None, rates.block_tag)
        if charge_month != usage_month:
            month.prior_period_picousd += cost_picousd
            return Charged(row, None, rates.block_tag)
        self._add(month, member, cost_picousd)
        limit = organization.limit_picousd
        if limit is not None and month.spend_picousd >= limit and not month.breached_version:
            crossing = Crossing.model_construct(
                event_id=usage.event_id,
                source=usage.source,
                input_partition=where.partition,
                input_offset=where.offset,
                input_index=where.position,
            )
            breach = limits.charged(state, organization, month, arrived_at_micros, crossing)
            return Charged(row, breach, rates.block_tag)
        return Charged(row, None, rates.block_tag)

    def _check_age(self, occurred_at_micros: int, arrived_at_micros: int) -> None:
        age_micros = arrived_at_micros - occurred_at_micros
        if age_micros > self.rules.horizon_micros:
            raise Rejected(
                Reason.TOO_OLD,
                f"it occurred at {format_instant(occurred_at_micros)}, more than {self.rules.horizon_days} days "
                f"before it arrived at {format_instant(arrived_at_micros)}",
            )
        if -age_micros > AHEAD_MICROS:
            raise Rejected(
                Reason.IN_THE_FUTURE,
                f"it says {format_instant(occurred_at_micros)}, more than 5 minutes after it arrived at "
                f"{format_instant(arrived_at_micros)}",
            )

    def _add(self, month: OrganizationMonth, member: Member, cost_picousd: int) -> None:
        """Add to the month to date of organisation, tier and member: always the three together."""
        month.spend_picousd += cost_picousd
        tier = month.tiers.get(member.seat_tier)
        if tier is None:
            tier = TierMonth(org_id=month.org_id, month=month.month, seat_tier=member.seat_tier)
            month.tiers[member.seat_tier] = tier
        tier.spend_picousd += cost_picousd
        own = member.months.get(month.month)
        if own is None:
            own = MemberMonth(org_id=month.org_id, user_id=member.user_id, month=month.month)
            member.months[month.month] = own
        own.spend_picousd += cost_picousd
        self.state.touch(tier)
        self.state.touch(own)


def _row(
    usage: Usage,
    arrived_at_micros: int,
    where: Where,
    organization: Organization,
    member: Member,
    rates: Rates,
    parts: CostParts,
    charge_month: str,
    after_pause: bool,
) -> PricedRow:
    origin = where.origin or _SAME_PLACE
    return PricedRow(
        org_id=organization.org_id,
        org_seq=organization.next_seq(),
        user_id=member.user_id,
        seat_tier=member.seat_tier,
        event_id=usage.event_id,
        source=usage.source,
        product=usage.product,
        model=rates.model,
        price_id=rates.price_id,
        occurred_at_micros=format_instant(usage.occurred_at_micros),
        arrived_at_micros=format_instant(arrived_at_micros),
        usage_month=month_name(usage.occurred_at_micros),
        charge_month=charge_month,
        funding=usage.funding,
        after_pause=after_pause,
        processing=usage.processing,
        speed=usage.speed,
        inference_geo=usage.inference_geo,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        web_search_requests=usage.web_search_requests,
        cost_picousd=str(sum(parts)),
        input_picousd=str(parts.input),
        output_picousd=str(parts.output),
        cache_read_picousd=str(parts.cache_read),
        cache_write_5m_picousd=str(parts.cache_write_5m),
        cache_write_1h_picousd=str(parts.cache_write_1h),
        web_search_picousd=str(parts.web_search),
        input_partition=where.partition,
        input_offset=where.offset,
        input_index=where.position,
        origin_topic=origin[0],
        origin_partition=origin[1],
        origin_offset=origin[2],
        origin_index=origin[3],
    )


@lru_cache(maxsize=4096)
def _month_name_of_hour(hour: int) -> str:
    return str(Month.containing(hour * MICROS_PER_HOUR))


def month_name(micros: int) -> str:
    """The month that holds an instant, as text; every month begins on the hour."""
    return _month_name_of_hour(micros // MICROS_PER_HOUR)
