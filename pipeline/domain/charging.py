"""Charging usage: one accepted event comes in; priced, added to its month, and its row and what it crossed go out.

The hot path of the product: called once per event. It looks at the event, its organisation, its member and three
months' cells, and at nothing that grows. Source: docs/rules.md R8-R12, R16-R20, R24, R25, R29.
"""

from dataclasses import dataclass

from pipeline.domain import limits
from pipeline.domain.compiled import Usage
from pipeline.domain.pricing import CompiledPrices, NoPrice, quantities, rates_for
from pipeline.domain.rows import Origin, common_part, rare_part
from pipeline.domain.state import Calendar, Organization, State
from schemas.dead_letters import Reason
from schemas.events import Crossing, LimitBreached
from schemas.instants import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, format_instant
from schemas.month import Month
from schemas.organization import SEAT_TIERS

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


class Rejected(Exception):
    """The event becomes a dead letter; nothing was changed."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Charging:
    """Charges events against one partition's state.

    Attributes:
        rows: of the chunk under way, as JSON lines in pieces: a payload without its last brace, then what was added.
        breaches: of the chunk under way, not yet taken away by the caller.
    """

    def __init__(self, state: State, prices: CompiledPrices, rules: Rules, partition: int) -> None:
        self.state = state
        self.prices = prices
        self.rules = rules
        self.partition = partition
        self.rows: list[bytes] = []
        self.breaches: list[LimitBreached] = []
        self._oldest_micros = rules.horizon_micros
        self.time_moved()
        self._arrived_at_micros = -1
        self._arrived = ""

    def time_moved(self) -> None:
        """A month turned or closed, or the state is another: what follows from an instant is to be asked again."""
        self._span = Span(self.state.calendar, 0, self.partition)

    def charge(
        self,
        organization: Organization,
        usage: Usage,
        occurred_at_micros: int,
        payload: bytes,
        arrived_at_micros: int,
        offset: int,
        index: int,
        origin: Origin | None,
    ) -> bytes:
        """Price one event, add it to spend, and add its row and the breach it causes, if any, to the chunk's.

        Args:
            organization: the event's own.
            usage: decoded and new (its identity was not seen before).
            payload: the event's named fields as JSON.
            arrived_at_micros: its first arrival.
            offset, index: where it lies in `usage-events`.

        Returns:
            Its price block's tag (R15).

        Raises:
            Rejected: it cannot be priced, is too old or ahead of time, or nobody knows its member; nothing changed.
        """
        member = organization.members.get(usage.user_id)
        if member is None:
            raise Rejected(Reason.UNKNOWN_MEMBER, f"{usage.user_id} is no member of {usage.org_id}")
        if usage.corrects is not None:
            # Charged as it stands it would be charged on top of what it corrects.
            raise Rejected(Reason.UNKNOWN_ORIGINAL, "corrections are not taken yet; send it again once they are")
        if not -AHEAD_MICROS <= arrived_at_micros - occurred_at_micros <= self._oldest_micros:
            raise self._untimely(occurred_at_micros, arrived_at_micros)

        # What it costs: price_usage (domain/pricing.py) says the same in plain words.
        input_tokens = usage.input_tokens
        cache_read_tokens = usage.cache_read_tokens
        cache_write_5m_tokens = usage.cache_write_5m_tokens
        cache_write_1h_tokens = usage.cache_write_1h_tokens
        prompt_tokens = input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
        try:
            rates = self.prices.rates(
                usage.model,
                occurred_at_micros,
                prompt_tokens,
                usage.processing,
                usage.speed,
                usage.inference_geo,
            )
            each = rates.complete or rates_for(rates, quantities(usage))
        except NoPrice as error:
            raise Rejected(error.reason, str(error)) from None
        cost_picousd = (
            input_tokens * each[0]
            + usage.output_tokens * each[1]
            + cache_read_tokens * each[2]
            + cache_write_5m_tokens * each[3]
            + cache_write_1h_tokens * each[4]
            + usage.web_search_requests * each[5]
        )

        state = self.state
        changed = state.changed
        span = self._span
        if not span.begin_micros <= occurred_at_micros < span.end_micros:
            span = self._span = Span(state.calendar, occurred_at_micros, self.partition)
        counts = usage.funding == "credits" and span.is_open
        if counts:
            # The month to date of member, tier and organisation: always the three together.
            own = member.months.get(span.charge_month) or state.month_of_member(organization, member, span.charge_month)
            tier, month = own.tier, own.of_organization
            own.spend_picousd += cost_picousd
            tier.spend_picousd += cost_picousd
            month.spend_picousd += cost_picousd
            if own not in changed:
                changed[own] = changed[tier] = changed[month] = changed[organization] = None
            after_pause = not organization.credits_enabled or month.breached_version != 0
            if not span.is_running:
                after_pause = self._is_paused(organization)
        else:
            month = state.month_of(organization, span.charge_month)
            changed[month] = changed[organization] = None
            if usage.funding == "credits":
                month.prior_period_picousd += cost_picousd
                after_pause = self._is_paused(organization)
            else:
                month.included_picousd += cost_picousd
                after_pause = False
        month.rows += 1
        organization.org_seq = org_seq = organization.org_seq + 1
        if arrived_at_micros != self._arrived_at_micros:
            self._arrived_at_micros = arrived_at_micros
            self._arrived = format_instant(arrived_at_micros)
        rare = rare_part(index, after_pause, origin) if index or after_pause or origin else ""
        self.rows += (
            payload[:-1],
            f'{rates.in_rows}{span.in_rows[member.seat_tier]},"org_seq":{org_seq},"arrived_at":"{self._arrived}"'
            f',"cost_picousd":"{cost_picousd}","input_offset":{offset}{rare}}}\n'.encode(),
        )
        limit = organization.limit_picousd
        if limit is not None and counts and month.spend_picousd >= limit and not month.breached_version:
            crossing = Crossing(
                event_id=usage.event_id,
                source=usage.source,
                input_partition=self.partition,
                input_offset=offset,
                input_index=index,
            )
            breach = limits.charged(state, organization, month, arrived_at_micros, crossing)
            if breach is not None:
                self.breaches.append(breach)
        return rates.tag_bytes

    def _is_paused(self, organization: Organization) -> bool:
        """Whether credits are paused or disabled in the month that runs (R20)."""
        running = organization.months.get(self.state.calendar.month)
        return not organization.credits_enabled or (running is not None and running.breached_version != 0)

    def _untimely(self, occurred_at_micros: int, arrived_at_micros: int) -> Rejected:
        """Why the event is too old or ahead of time (R17)."""
        occurred, arrived = format_instant(occurred_at_micros), format_instant(arrived_at_micros)
        if occurred_at_micros > arrived_at_micros:
            detail = f"it says {occurred}, more than 5 minutes after it arrived at {arrived}"
            return Rejected(Reason.IN_THE_FUTURE, detail)
        days = self.rules.horizon_days
        detail = f"it occurred at {occurred}, more than {days} days before it arrived at {arrived}"
        return Rejected(Reason.TOO_OLD, detail)


class Span:
    """The month of an instant, and what follows from it: usage comes in order, nearly.

    Attributes:
        begin_micros, end_micros: of the month, half open.
        charge_month: that month, or the one that runs if that one is closed (R19).
        is_open: it is not closed, so what is charged to it is spend.
        is_running: it is the month that runs.
        in_rows: by seat tier, what the rows of the month have in common.
    """

    def __init__(self, calendar: Calendar, micros: int, partition: int) -> None:
        month = Month.containing(micros)
        usage_month = str(month)
        self.begin_micros, self.end_micros = month.start_micros, month.end_micros
        self.is_open = usage_month > calendar.closed_through
        self.is_running = usage_month == calendar.month
        self.charge_month = usage_month if self.is_open else calendar.month
        self.in_rows = {tier: common_part(usage_month, self.charge_month, tier, partition) for tier in SEAT_TIERS}
