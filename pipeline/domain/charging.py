"""Charging usage: one accepted event comes in; priced, added to its month, and its row and what it crossed go out.

The hot path of the product: called once per event. It looks at the event, its organisation, its member and three
months' cells, and at nothing that grows. Source: docs/rules.md R8-R12, R16-R20, R24, R25, R29.
"""

from dataclasses import dataclass

from pipeline.domain import limits
from pipeline.domain.compiled import Usage
from pipeline.domain.pricing import CompiledPrices, NoPrice, Rates, cost_parts, quantities
from pipeline.domain.rows import priced_row
from pipeline.domain.state import Member, MemberMonth, Organization, OrganizationMonth, State, TierMonth
from schemas.dead_letters import Reason
from schemas.events import Crossing, LimitBreached
from schemas.instants import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, format_instant
from schemas.month import Month

AHEAD_MICROS = 5 * MICROS_PER_MINUTE


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


Origin = tuple[str, int, int, int]
"""Where an event first lay, if that is not where it is processed: topic, partition, offset, index (R43)."""


class Rejected(Exception):
    """The event becomes a dead letter; nothing was changed."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


Charged = tuple[str, LimitBreached | None, int]
"""What one event led to: its row as JSON, the breach it caused if any, its price block's tag (R15)."""


class Charging:
    """Charges events against one partition's state."""

    def __init__(self, state: State, prices: CompiledPrices, rules: Rules, partition: int) -> None:
        self.state = state
        self.prices = prices
        self.rules = rules
        self.partition = partition
        self._horizon_micros = rules.horizon_micros
        self._month = Span()

    def charge(
        self,
        organization: Organization,
        usage: Usage,
        arrived_at_micros: int,
        offset: int,
        index: int,
        origin: Origin | None,
    ) -> Charged:
        """Price one event and add it to spend.

        Args:
            organization: the event's own.
            usage: decoded and new (its identity was not seen before).
            arrived_at_micros: its first arrival.
            offset, index: where it lies in `usage-events`.

        Raises:
            Rejected: it cannot be priced, is too old or ahead of time, or nobody knows its member.
        """
        member = organization.members.get(usage.user_id)
        if member is None:
            raise Rejected(Reason.UNKNOWN_MEMBER, f"{usage.user_id} is no member of {usage.org_id}")
        if usage.corrects is not None:
            # Charged as it stands it would be charged on top of what it corrects.
            raise Rejected(Reason.UNKNOWN_ORIGINAL, "corrections are not taken yet; send it again once they are")
        occurred_at_micros = usage.occurred_at_micros
        if not -AHEAD_MICROS <= arrived_at_micros - occurred_at_micros <= self._horizon_micros:
            raise self._untimely(occurred_at_micros, arrived_at_micros)
        rates, parts = self._price(usage)
        cost_picousd = parts[0] + parts[1] + parts[2] + parts[3] + parts[4] + parts[5]

        calendar = self.state.calendar
        usage_month = self._month.of(occurred_at_micros)
        charge_month = usage_month if usage_month > calendar.closed_through else calendar.month
        month = organization.months.get(charge_month) or self.state.month_of(organization, charge_month)
        running = month if charge_month == calendar.month else organization.months.get(calendar.month)
        is_credits = usage.funding == "credits"
        after_pause = is_credits and (
            not organization.credits_enabled or (running is not None and running.breached_version != 0)
        )
        month.rows += 1
        organization.org_seq += 1
        changed = self.state.changed
        changed[month] = changed[organization] = None
        row = priced_row(
            usage,
            organization.org_seq,
            member,
            rates,
            parts,
            cost_picousd,
            arrived_at_micros,
            usage_month,
            charge_month,
            after_pause,
            self.partition,
            offset,
            index,
            origin,
        )
        breach = None
        if not is_credits:
            month.included_picousd += cost_picousd
        elif charge_month != usage_month:
            month.prior_period_picousd += cost_picousd
        else:
            # The month to date of organisation, tier and member: always the three together.
            month.spend_picousd += cost_picousd
            tier = month.tiers.get(member.seat_tier) or _new_tier(month, member)
            tier.spend_picousd += cost_picousd
            own = member.months.get(charge_month) or _new_member_month(member, charge_month)
            own.spend_picousd += cost_picousd
            changed[tier] = changed[own] = None
            limit = organization.limit_picousd
            if limit is not None and month.spend_picousd >= limit and not month.breached_version:
                crossing = Crossing(
                    event_id=usage.event_id,
                    source=usage.source,
                    input_partition=self.partition,
                    input_offset=offset,
                    input_index=index,
                )
                breach = limits.charged(self.state, organization, month, arrived_at_micros, crossing)
        return row, breach, rates.block_tag

    def _price(self, usage: Usage) -> tuple[Rates, tuple[int, int, int, int, int, int]]:
        """The rates in force and what each kind costs; price_usage (domain/pricing.py) says the same in plain words."""
        input_tokens = usage.input_tokens
        cache_read_tokens = usage.cache_read_tokens
        cache_write_5m_tokens = usage.cache_write_5m_tokens
        cache_write_1h_tokens = usage.cache_write_1h_tokens
        try:
            rates = self.prices.rates(
                usage.model,
                usage.occurred_at_micros,
                input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens,
                usage.processing,
                usage.speed,
                usage.inference_geo,
            )
            each = rates.complete
            if each is None:
                return rates, cost_parts(rates, *quantities(usage))
        except NoPrice as error:
            raise Rejected(error.reason, str(error)) from None
        return rates, (
            input_tokens * each[0],
            usage.output_tokens * each[1],
            cache_read_tokens * each[2],
            cache_write_5m_tokens * each[3],
            cache_write_1h_tokens * each[4],
            usage.web_search_requests * each[5],
        )

    def _untimely(self, occurred_at_micros: int, arrived_at_micros: int) -> Rejected:
        """Why the event is too old or ahead of time (R17)."""
        occurred, arrived = format_instant(occurred_at_micros), format_instant(arrived_at_micros)
        if occurred_at_micros > arrived_at_micros:
            detail = f"it says {occurred}, more than 5 minutes after it arrived at {arrived}"
            return Rejected(Reason.IN_THE_FUTURE, detail)
        days = self.rules.horizon_days
        detail = f"it occurred at {occurred}, more than {days} days before it arrived at {arrived}"
        return Rejected(Reason.TOO_OLD, detail)


def _new_tier(month: OrganizationMonth, member: Member) -> TierMonth:
    tier = TierMonth(org_id=month.org_id, month=month.month, seat_tier=member.seat_tier)
    month.tiers[member.seat_tier] = tier
    return tier


def _new_member_month(member: Member, month: str) -> MemberMonth:
    own = MemberMonth(org_id=member.org_id, user_id=member.user_id, month=month)
    member.months[month] = own
    return own


class Span:
    """The month of the last instant asked for: usage comes in order, nearly."""

    def __init__(self) -> None:
        self._begin = self._end = 0
        self._name = ""

    def of(self, micros: int) -> str:
        """The month that holds an instant, as text."""
        if not self._begin <= micros < self._end:
            month = Month.containing(micros)
            self._begin, self._end, self._name = month.start_micros, month.end_micros, str(month)
        return self._name
