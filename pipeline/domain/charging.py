"""Charging usage: one accepted event comes in; priced, added to its month, and its row and what it led to go out.

The hot path of the product: `charge` is called once per event. It looks at the event, its organisation, its member and
three months' cells, and at nothing that grows; what may follow from a charge is asked only where a sum has come to its
watch. Source: docs/rules.md R8-R12, R16-R20, R24, R25, R29; docs/decisions/0008-the-hot-path.md
"""

from pipeline.domain import limits
from pipeline.domain.compiled import Usage
from pipeline.domain.invoicing import draft_line
from pipeline.domain.limits import Occasion
from pipeline.domain.pricing import CompiledPrices, NoPrice, Rates, quantities, rates_for
from pipeline.domain.rows import Origin, common_part, rare_part
from pipeline.domain.rules import Rules
from pipeline.domain.state import Calendar, Member, Organization, State
from pipeline.domain.wallet import wallet_fell
from schemas.base import SeatTier
from schemas.dead_letters import Reason
from schemas.events import Crossing, LedgerEvent
from schemas.instants import MICROS_PER_MINUTE, format_instant
from schemas.month import Month
from schemas.organization import SEAT_TIERS

AHEAD_MICROS = 5 * MICROS_PER_MINUTE


class Rejected(Exception):
    """The event becomes a dead letter; nothing was changed."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Charging:
    """Charges events against one partition's state.

    Attributes:
        rows: of the chunk under way, as JSON lines in pieces: a payload without its last brace, then what was added.
        events: that followed from charges, not yet taken away by the caller.
        clock_micros: when the record under way was stamped here; one that came by a detour arrived earlier.
    """

    def __init__(self, state: State, prices: CompiledPrices, rules: Rules, partition: int) -> None:
        self.state = state
        self.prices = prices
        self.rules = rules
        self.partition = partition
        self.rows: list[bytes] = []
        self.events: list[LedgerEvent] = []
        self.clock_micros = 0
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
        """Price one event, add it to spend, and add its row and what follows from it to the chunk's.

        Args:
            organization: the event's own.
            usage: decoded and new (its identity was not seen before); no correction.
            payload: the event's named fields as JSON.
            arrived_at_micros: its first arrival.
            offset, index: where it lies in `usage-events`.

        Returns:
            What a correction will need to know of it: see `remembered`.

        Raises:
            Rejected: it cannot be priced, is too old or ahead of time, or nobody knows its member; nothing changed.
        """
        member = organization.members.get(usage.user_id)
        late_micros = arrived_at_micros - occurred_at_micros
        if member is None or organization.status == "closed" or not -AHEAD_MICROS <= late_micros <= self._oldest_micros:
            raise self._unacceptable(organization, usage, occurred_at_micros, arrived_at_micros)

        # What it costs: price_usage (domain/pricing.py) says the same in plain words.
        input_tokens = usage.input_tokens
        cache_read_tokens = usage.cache_read_tokens
        cache_write_5m_tokens = usage.cache_write_5m_tokens
        cache_write_1h_tokens = usage.cache_write_1h_tokens
        try:
            rates = self.prices.rates(
                usage.model,
                occurred_at_micros,
                input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens,
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
        is_credits = usage.funding == "credits"
        seat_tier = member.seat_tier
        after_pause = False
        crossed = False
        if is_credits and span.is_open:
            own = member.months.get(span.charge_month) or state.month_of_member(organization, member, span.charge_month)
            tier, month = own.tier, own.of_organization
            if not span.is_running:
                after_pause = self.is_paused(organization, member)
            elif organization.is_stopped or month.is_breached or tier.is_breached or own.is_breached:
                after_pause = True
            else:
                switch = member.credits_enabled
                after_pause = member.removed or not (organization.member_default if switch is None else switch)
            # The month to date of member, tier and organisation: always the three together.
            own.spend_picousd += cost_picousd
            tier.spend_picousd += cost_picousd
            month.spend_picousd += cost_picousd
            month.unsettled_picousd += cost_picousd
            if own not in state.charged:
                state.charged.add(own)
                changed[own] = changed[tier] = changed[month] = changed[organization] = None
            crossed = (
                own.spend_picousd >= own.watch_picousd
                or tier.spend_picousd >= tier.watch_picousd
                or month.spend_picousd >= month.watch_picousd
            )
        else:
            month = state.month_of(organization, span.charge_month)
            changed[month] = changed[organization] = None
            if is_credits:
                month.prior_period_picousd += cost_picousd
                month.unsettled_picousd += cost_picousd
                after_pause = self.is_paused(organization, member)
            else:
                month.included_picousd += cost_picousd
        month.rows += 1
        organization.org_seq = org_seq = organization.org_seq + 1
        if arrived_at_micros != self._arrived_at_micros:
            self._arrived_at_micros = arrived_at_micros
            self._arrived = format_instant(arrived_at_micros)
        rare = rare_part(index, after_pause, origin) if index or after_pause or origin else ""
        self.rows += (
            payload[:-1],
            f'{rates.in_rows}{span.in_rows[seat_tier]},"org_seq":{org_seq},"arrived_at":"{self._arrived}"'
            f',"cost_picousd":"{cost_picousd}","input_offset":{offset}{rare}}}\n'.encode(),
        )
        if crossed:
            occasion = Occasion(state, organization, arrived_at_micros, "usage", self.crossing(usage, offset, index))
            self.events += limits.charged(occasion, member, own, tier)
        if not is_credits:
            pass
        elif organization.plan == "team":
            wallet = organization.wallet
            wallet.balance_picousd -= cost_picousd
            changed[wallet] = None
            if wallet.balance_picousd <= wallet.watch_picousd:
                self.look_at_wallet(organization, arrived_at_micros, self.crossing(usage, offset, index))
        else:
            line = month.lines.get((span.usage_month, usage.product, rates.price_id))
            if line is None:
                line = draft_line(state, month, span.usage_month, usage.product, rates)
            line.input_tokens += input_tokens
            line.output_tokens += usage.output_tokens
            line.cache_read_tokens += cache_read_tokens
            line.cache_write_5m_tokens += cache_write_5m_tokens
            line.cache_write_1h_tokens += cache_write_1h_tokens
            line.web_search_requests += usage.web_search_requests
            changed[line] = None
        return remembered(rates, seat_tier, after_pause)

    def crossing(self, usage: Usage, offset: int, index: int) -> Crossing:
        """The event as the one that reached something."""
        return Crossing.trusted(
            event_id=usage.event_id,
            source=usage.source,
            input_partition=self.partition,
            input_offset=offset,
            input_index=index,
        )

    def look_at_wallet(self, organization: Organization, at_micros: int, crossing: Crossing) -> None:
        """A charge took the balance down to its watch (R3, R5, R37a)."""
        wallet = organization.wallet
        self.events += wallet_fell(self.state, organization, wallet, at_micros, crossing, self.clock_micros)
        organization.note_stops()
        self.state.tell(organization)

    def is_paused(self, organization: Organization, member: Member) -> bool:
        """Whether the member's credits are paused or disabled in the month that runs (R20, R20a)."""
        switch = organization.member_default if member.credits_enabled is None else member.credits_enabled
        if organization.is_stopped or member.removed or not switch:
            return True
        running = self.state.calendar.month
        month, own = organization.months.get(running), member.months.get(running)
        tier = month.tiers.get(member.seat_tier) if month is not None else None
        return any(cell is not None and cell.is_breached for cell in (month, tier, own))

    def member_of(
        self, organization: Organization, usage: Usage, occurred_at_micros: int, arrived_at_micros: int
    ) -> Member:
        """Who used it.

        Raises:
            Rejected: as charge does, before it looks at prices.
        """
        member = organization.members.get(usage.user_id)
        late_micros = arrived_at_micros - occurred_at_micros
        if member is None or organization.status == "closed" or not -AHEAD_MICROS <= late_micros <= self._oldest_micros:
            raise self._unacceptable(organization, usage, occurred_at_micros, arrived_at_micros)
        return member

    def span(self, occurred_at_micros: int) -> "Span":
        """The month of an instant, and what follows from it."""
        return Span(self.state.calendar, occurred_at_micros, self.partition)

    def _unacceptable(
        self, organization: Organization, usage: Usage, occurred_at_micros: int, arrived_at_micros: int
    ) -> Rejected:
        if organization.status == "closed":
            return Rejected(Reason.ORGANIZATION_CLOSED, f"organization {usage.org_id} is closed")
        if usage.user_id not in organization.members:
            return Rejected(Reason.UNKNOWN_MEMBER, f"{usage.user_id} is no member of {usage.org_id}")
        return self._untimely(occurred_at_micros, arrived_at_micros)

    def _untimely(self, occurred_at_micros: int, arrived_at_micros: int) -> Rejected:
        """Why the event is too old or ahead of time (R17)."""
        occurred, arrived = format_instant(occurred_at_micros), format_instant(arrived_at_micros)
        if occurred_at_micros > arrived_at_micros:
            detail = f"it says {occurred}, more than 5 minutes after it arrived at {arrived}"
            return Rejected(Reason.IN_THE_FUTURE, detail)
        days = self.rules.horizon_days
        detail = f"it occurred at {occurred}, more than {days} days before it arrived at {arrived}"
        return Rejected(Reason.TOO_OLD, detail)


# Flags of `remembered`.
PREMIUM, AFTER_PAUSE, CORRECTED, CORRECTION = 1, 2, 4, 8


def remembered(rates: Rates, seat_tier: SeatTier, after_pause: bool) -> bytes:
    """What is kept of a charged event beside its payload's digest (R15): price block, and how it was charged."""
    return rates.tag_bytes + _FLAGS[seat_tier, after_pause]


_FLAGS = {
    (tier, after_pause): bytes([PREMIUM * (tier == "premium") + AFTER_PAUSE * after_pause])
    for tier in SEAT_TIERS
    for after_pause in (False, True)
}


class Span:
    """The month of an instant, and what follows from it: usage comes in order, nearly.

    Attributes:
        usage_month: the month.
        begin_micros, end_micros: of the month, half open.
        charge_month: that month, or the one that runs if that one is closed (R19).
        is_open: it is not closed, so what is charged to it is spend.
        is_running: it is the month that runs.
        in_rows: by seat tier, what the rows of the month have in common.
    """

    def __init__(self, calendar: Calendar, micros: int, partition: int) -> None:
        month = Month.containing(micros)
        self.usage_month = usage_month = str(month)
        self.begin_micros, self.end_micros = month.start_micros, month.end_micros
        self.is_open = usage_month > calendar.closed_through
        self.is_running = usage_month == calendar.month
        self.charge_month = usage_month if self.is_open else calendar.month
        self.in_rows = {tier: common_part(usage_month, self.charge_month, tier, partition) for tier in SEAT_TIERS}
