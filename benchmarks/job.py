"""The job: a seed comes in; usage events of about 300 bytes, the accounts they belong to, and the right answer go out.

The oracle adds up cost from a price table of its own, so that every contender's result can be checked.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from schemas.instants import format_instant

# List prices in picodollars per token: input, output, cache read, 5 m and 1 h cache write.
PRICES = {
    "claude-opus-4-6": (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000),
    "claude-haiku-4-5": (1_000_000, 5_000_000, 100_000, 1_250_000, 2_000_000),
    "claude-sonnet-4-6": (3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000),
}
PRODUCTS = ("chat", "claude_code", "cowork")
DUPLICATE_SHARE = 0.01


@dataclass(slots=True)
class Job:
    """So many events of so many members; iterate `records()` once, then ask for the answer.

    Attributes:
        all_scopes: seat tiers and members have limits too, beside their organisations.
        limit_usd: of every second organisation.
        spend_picousd: the right month to date by organisation, once the records were taken.
        tier_spend_picousd, member_spend_picousd: likewise, by (org_id, seat tier) and by user_id.
        breaches: by organisation, the event that reached its limit.
        accepted: events that are no duplicates.
    """

    events: int
    organizations: int = 40
    members: int = 1_000
    seed: int = 1
    now_micros: int = 0
    all_scopes: bool = False
    limit_usd: str = "50.00"
    accepted: int = 0
    spend_picousd: dict[str, int] = field(default_factory=dict)
    tier_spend_picousd: dict[tuple[str, str], int] = field(default_factory=dict)
    member_spend_picousd: dict[str, int] = field(default_factory=dict)
    breaches: dict[str, str] = field(default_factory=dict)

    def commands(self) -> Iterator[tuple[str, bytes]]:
        """(org_id, command) of every organisation and member; every second one will reach its limit."""
        billing = {"kind": "service", "id": "billing", "scopes": ["billing:write"]}
        for number in range(self.organizations):
            org_id = f"org-{number:05d}"
            owner = {"kind": "user", "id": f"owner-{number:05d}", "scopes": []}
            commands: list[dict[str, Any]] = [
                {
                    "command": "register_organization",
                    "plan": "enterprise",
                    "primary_owner": owner["id"],
                    "actor": billing,
                },
                {"command": "set_credits", "enabled": True, "actor": owner},
                {
                    "command": "set_organization_limit",
                    "limit_usd": self.limit_usd if number % 2 else None,
                    "actor": owner,
                },
                *(
                    {
                        "command": "add_member",
                        "user_id": f"user-{member:07d}",
                        "seat_tier": ("standard", "premium")[member % 2],
                        "actor": owner,
                    }
                    for member in range(number, self.members, self.organizations)
                ),
            ]
            if self.all_scopes:
                commands += self._more_limits(number, owner)
            for index, command in enumerate(commands):
                yield org_id, json.dumps({"command_id": f"c-{index}", "org_id": org_id, **command}).encode()

    def _more_limits(self, number: int, owner: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for seat_tier, basis in (("standard", "each_member"), ("premium", "whole_tier")):
            yield {
                "command": "set_tier_limit",
                "seat_tier": seat_tier,
                "basis": basis,
                "limit_usd": "100000",
                "actor": owner,
            }
        for member in range(number, self.members, self.organizations):
            yield {"command": "set_user_limit", "user_id": f"user-{member:07d}", "limit_usd": "1000", "actor": owner}

    def records(self) -> Iterator[tuple[str, bytes]]:
        """(org_id, event), one event a record."""
        chance = random.Random(self.seed)
        limit_picousd = Decimal(self.limit_usd) * 10**12
        recent: list[tuple[str, bytes]] = []
        models = list(PRICES)
        for number in range(self.events):
            if recent and chance.random() < DUPLICATE_SHARE:
                yield chance.choice(recent)
                continue
            member = chance.randrange(self.members)
            org_id = f"org-{member % self.organizations:05d}"
            model = chance.choice(models)
            tokens = (
                chance.randrange(1, 4_000),
                chance.randrange(1, 2_000),
                chance.randrange(0, 90_000),
                chance.randrange(0, 9_000),
                0,
            )
            event = {
                "org_id": org_id,
                "user_id": f"user-{member:07d}",
                "event_id": f"req_{self.seed:03d}{number:020d}",
                "source": "claude-code",
                "product": chance.choice(PRODUCTS),
                "model": model,
                "occurred_at": format_instant(self.now_micros - chance.randrange(60_000) * 1_000),
                "funding": "credits",
                "input_tokens": tokens[0],
                "output_tokens": tokens[1],
                "cache_read_tokens": tokens[2],
                "cache_write_5m_tokens": tokens[3],
            }
            cost = sum(count * rate for count, rate in zip(tokens, PRICES[model], strict=True))
            before = self.spend_picousd.get(org_id, 0)
            self.spend_picousd[org_id] = before + cost
            tier, user_id = (org_id, ("standard", "premium")[member % 2]), f"user-{member:07d}"
            self.tier_spend_picousd[tier] = self.tier_spend_picousd.get(tier, 0) + cost
            self.member_spend_picousd[user_id] = self.member_spend_picousd.get(user_id, 0) + cost
            if member % self.organizations % 2 and before < limit_picousd <= before + cost:
                self.breaches[org_id] = str(event["event_id"])
            self.accepted += 1
            record = (org_id, json.dumps(event).encode())
            if len(recent) < 1_000:
                recent.append(record)
            yield record
