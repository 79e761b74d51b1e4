"""What every contender does with one record: bytes and a memory come in; a priced row, and a breach if any, go out.

Decode and prices are this project's own. The memory is whatever the framework has: a dictionary, a Table, a State.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from pipeline.agents.decoding import decode_typed, payload_of
from pipeline.domain.pricing import CompiledPrices, prompt_tokens, quantities, rates_for

_ROWS_PER_RECORD = 1_000


class Memory(Protocol):
    """What a mapping of text to whole numbers offers."""

    def __contains__(self, key: str) -> bool: ...
    def get(self, key: str, default: int) -> int: ...
    def __setitem__(self, key: str, value: int) -> None: ...


class Charged(NamedTuple):
    """What came of one event."""

    org_id: str
    row: bytes
    breach: bytes | None


class Charging:
    """Knows prices, limits and seats; remembers nothing itself."""

    def __init__(self, prices: CompiledPrices, limits_picousd: dict[str, int], seat_tiers: dict[str, str]) -> None:
        self.prices = prices
        self.limits_picousd = limits_picousd
        self.seat_tiers = seat_tiers

    def charge(self, value: bytes, seen: Memory, months: Memory) -> Charged | None:
        """Price an event and add it to the month to date of member, tier and organisation; None for a repeat.

        Args:
            value: one event as JSON.
            seen: identities.
            months: picodollars, by scope and month.
        """
        usage = decode_typed(value)
        org_id, source, user_id = usage.org_id, usage.source, usage.user_id
        identity = f"{org_id} {source} {usage.event_id}"
        if identity in seen:
            return None
        seen[identity] = 1

        rates = self.prices.rates(
            usage.model,
            usage.occurred_at_micros,
            prompt_tokens(usage),
            usage.processing,
            usage.speed,
            usage.inference_geo,
        )
        used = quantities(usage)
        each = rates.complete or rates_for(rates, used)
        cost = (
            used[0] * each[0]
            + used[1] * each[1]
            + used[2] * each[2]
            + used[3] * each[3]
            + used[4] * each[4]
            + used[5] * each[5]
        )

        month = usage.occurred_at[:7]
        seat_tier = self.seat_tiers[user_id]
        organization_key = f"{month} {org_id}"
        tier_key = f"{month} {org_id} tier {seat_tier}"
        member_key = f"{month} {org_id} member {user_id}"
        before = months.get(organization_key, 0)
        months[organization_key] = organization = before + cost
        months[tier_key] = tier = months.get(tier_key, 0) + cost
        months[member_key] = member = months.get(member_key, 0) + cost

        row = payload_of(usage)[:-1] + (
            f'{rates.in_rows},"charge_month":"{month}","seat_tier":"{seat_tier}","cost_picousd":"{cost}"'
            f',"month_to_date_picousd":["{organization}","{tier}","{member}"]}}\n'.encode()
        )
        # Spend only grows here, so it passes a limit once.
        limit = self.limits_picousd.get(org_id)
        if limit is None or not before < limit <= organization:
            return Charged(org_id, row, None)
        breach = {
            "org_id": org_id,
            "month": month,
            "limit_picousd": str(limit),
            "spend_picousd": str(organization),
            "crossing": {"event_id": usage.event_id},
        }
        return Charged(org_id, row, json.dumps(breach).encode())


def in_lines(charged: Iterable[Charged]) -> Iterator[bytes]:
    """Rows as records of many JSON lines, as the ledger writes them."""
    rows = [one.row for one in charged]
    for begin in range(0, len(rows), _ROWS_PER_RECORD):
        yield b"".join(rows[begin : begin + _ROWS_PER_RECORD])
