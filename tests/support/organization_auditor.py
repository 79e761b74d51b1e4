"""The rule book applied the slow way: everything that was sent comes in, everything the ledger owes comes out.

Written from docs/rules.md alone, of nothing but lists and sums: it keeps every charge and every event for ever and adds
them all up again whenever somebody asks, so there is no running total that could go wrong. Meant for small months.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
PROMPT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")

# Dollars per million tokens in the order of TOKENS, as Anthropic's pages had them from April 2026 on.
RATES = {
    "claude-sonnet-4-5": ("3", "15", "0.3", "3.75", "6"),
    "claude-haiku-4-5": ("1", "5", "0.1", "1.25", "2"),
    "claude-opus-4-6": ("5", "25", "0.5", "6.25", "10"),
}
LONG = {"claude-sonnet-4-5": ("6", "22.5", "0.6", "7.5", "12")}  # beyond 200,000 tokens of prompt
FAST = {"claude-opus-4-6": Fraction(6)}
FAST_ENDED = {"claude-opus-4-6": datetime(2026, 6, 29, tzinfo=UTC)}
RETIRED = {"claude-sonnet-4-5": datetime(2026, 11, 30, tzinfo=UTC)}
US = {"claude-opus-4-6": Fraction("1.1")}
DOLLARS_PER_SEARCH = Fraction("0.01")
PICO = 10**12

HORIZON = timedelta(days=35)
AHEAD = timedelta(minutes=5)
GRACE = timedelta(hours=72)


def month_of(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m")


def first_instant(month: str) -> datetime:
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def end_of(month: str) -> datetime:
    return first_instant(month_of(first_instant(month) + timedelta(days=32)))


def price(facts: dict[str, Any]) -> Fraction | str:
    """Exact dollars, or the reason why there is no price (R9-R11)."""
    model = facts["model"]
    if model not in RATES:
        return "unknown_model"
    if model in RETIRED and facts["occurred_at"] >= RETIRED[model]:
        return "unpriced"
    long = model in LONG and sum(facts[name] for name in PROMPT) > 200_000
    tokens = sum(
        facts[name] * Fraction(rate) / 10**6
        for name, rate in zip(TOKENS, LONG[model] if long else RATES[model], strict=True)
    )
    factor = Fraction(1)
    if facts["processing"] == "batch":
        factor /= 2
    elif facts["processing"] != "standard":
        return "unpriced"
    if facts["speed"] == "fast":
        if model not in FAST or facts["occurred_at"] >= FAST_ENDED[model] or facts["processing"] == "batch":
            return "unpriced"
        factor *= FAST[model]
    if facts["inference_geo"] == "us":
        if model not in US:
            return "unpriced"
        factor *= US[model]
    elif facts["inference_geo"]:
        return "unpriced"
    return tokens * factor + facts["web_search_requests"] * DOLLARS_PER_SEARCH


def facts_of(bare: dict[str, Any]) -> dict[str, Any]:
    """What an event says, however it was written (R11, R14)."""
    facts = {"source": "", **dict.fromkeys((*TOKENS, "web_search_requests"), 0), **bare}
    facts["processing"] = facts.get("processing") or "standard"
    facts["speed"] = facts.get("speed") or "standard"
    geo = facts.get("inference_geo")
    facts["inference_geo"] = "" if geo in (None, "global", "not_available") else geo
    facts["occurred_at"] = datetime.fromisoformat(facts["occurred_at"])
    return facts


@dataclass
class Organization:
    primary_owner: str
    members: dict[str, tuple[str, str]]  # role, seat tier
    credits_on: bool = False
    limits: list[int | None] = field(default_factory=list)  # every one there ever was, in picodollars
    answers: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)

    @property
    def limit(self) -> int | None:
        return self.limits[-1] if self.limits else None


@dataclass(frozen=True)
class Charge:
    org_id: str
    user_id: str
    seat_tier: str
    picousd: int
    usage_month: str
    charge_month: str
    funding: str
    after_pause: bool

    @property
    def counts(self) -> bool:
        """Toward spend and limits (R8, R19)."""
        return self.funding == "credits" and self.usage_month == self.charge_month


class Auditor:
    """`published` is what each organisation is owed, in the order of `org_seq`; `dead`, each dead letter's reason."""

    def __init__(self) -> None:
        self.organizations: dict[str, Organization] = {}
        self.charges: list[Charge] = []
        self.taken: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.published: dict[str, list[tuple[Any, ...]]] = {}
        self.dead: list[str] = []
        self.duplicates = 0
        self.now = datetime.min.replace(tzinfo=UTC)

    # Time.

    @property
    def month(self) -> str:
        return month_of(self.now)

    def is_closed(self, month: str) -> bool:
        return end_of(month) + GRACE <= self.now

    # Sums, always from the beginning.

    def spend(self, org_id: str, month: str, **of: str) -> int:
        return sum(
            charge.picousd
            for charge in self.charges
            if (charge.org_id, charge.charge_month) == (org_id, month)
            and charge.counts
            and all(getattr(charge, name) == value for name, value in of.items())
        )

    def limit_events(self, org_id: str, month: str) -> list[tuple[Any, ...]]:
        return [told for told in self.published[org_id] if told[0] in ("breach", "resume") and told[1] == month]

    def is_breached(self, org_id: str, month: str) -> bool:
        told = self.limit_events(org_id, month)
        return bool(told) and told[-1][0] == "breach"

    # Usage.

    def usage(self, arrived_at: datetime, facts: dict[str, Any] | None) -> None:
        """One event, or None for bytes that are none."""
        self.now = max(self.now, arrived_at)
        if facts is None:
            self.dead.append("malformed")
            return
        org_id = facts["org_id"]
        if org_id not in self.organizations:
            self.dead.append("unknown_organization")
            return
        identity = (org_id, facts["source"], facts["event_id"])
        if identity in self.taken:
            if self.taken[identity] == facts:
                self.duplicates += 1
            else:
                self.dead.append("conflict")
            return
        reason = self._charge(self.organizations[org_id], arrived_at, facts)
        if reason:
            self.dead.append(reason)
        else:
            self.taken[identity] = facts

    def _charge(self, organization: Organization, arrived_at: datetime, facts: dict[str, Any]) -> str | None:
        if facts["user_id"] not in organization.members:
            return "unknown_member"
        if arrived_at - facts["occurred_at"] > HORIZON:
            return "too_old"
        if facts["occurred_at"] - arrived_at > AHEAD:
            return "in_the_future"
        dollars = price(facts)
        if isinstance(dollars, str):
            return dollars
        picousd = dollars * PICO
        assert picousd.denominator == 1, "prices are whole picodollars"
        usage_month = month_of(facts["occurred_at"])
        charge = Charge(
            facts["org_id"],
            facts["user_id"],
            organization.members[facts["user_id"]][1],
            int(picousd),
            usage_month,
            self.month if self.is_closed(usage_month) else usage_month,
            facts["funding"],
            facts["funding"] == "credits"
            and (not organization.credits_on or self.is_breached(facts["org_id"], self.month)),
        )
        self.charges.append(charge)
        self.published[charge.org_id].append(
            (
                "row",
                facts["source"],
                facts["event_id"],
                charge.user_id,
                charge.seat_tier,
                charge.picousd,
                charge.usage_month,
                charge.charge_month,
                charge.funding,
                charge.after_pause,
            )
        )
        limit = organization.limit
        spend = self.spend(charge.org_id, charge.charge_month)
        if (
            charge.counts
            and charge.charge_month >= self.month
            and limit is not None
            and spend >= limit
            and not self.is_breached(charge.org_id, charge.charge_month)
        ):
            self._breach(charge.org_id, charge.charge_month, arrived_at, "usage", facts["event_id"])
        return None

    def _breach(self, org_id: str, month: str, at: datetime, cause: str, crossing: str | None) -> None:
        organization = self.organizations[org_id]
        limit, spend = organization.limit, self.spend(org_id, month)
        assert limit is not None
        episode = 1 + sum(told[0] == "resume" for told in self.limit_events(org_id, month))
        begins = max(at, first_instant(month))
        self.published[org_id].append(
            (
                "breach",
                month,
                len(organization.limits),
                episode,
                limit,
                spend,
                spend - limit,
                cause,
                crossing,
                begins,
                end_of(month),
            )
        )

    # Commands.

    def command(self, arrived_at: datetime, command: dict[str, Any]) -> None:
        self.now = max(self.now, arrived_at)
        org_id, command_id = command["org_id"], command["command_id"]
        told = self.published.setdefault(org_id, [])
        organization = self.organizations.get(org_id)
        if organization is not None and command_id in organization.answers:
            answered_at, before = organization.answers[command_id]
            if self.now - answered_at <= timedelta(days=35):
                told.append(
                    ("repeated", command_id) if before == command else ("refused", command_id, "command_id_reused")
                )
                return
        refusal = self._why_not(command, organization)
        if refusal is None and organization is None:
            organization = self.organizations[org_id] = Organization(
                command["primary_owner"], {command["primary_owner"]: ("primary_owner", "standard")}
            )
        if organization is None:
            told.append(("refused", command_id, refusal))
            return
        organization.answers[command_id] = (self.now, command)
        if refusal is not None:
            told.append(("refused", command_id, refusal))
            return
        told.append(("applied", command_id))
        self._apply(arrived_at, organization, command)

    def _why_not(self, command: dict[str, Any], organization: Organization | None) -> str | None:
        kind = command["command"]
        if kind == "register_organization":
            if command["actor"]["kind"] != "service":
                return "not_allowed"
            return "already_registered" if organization is not None else None
        if organization is None:
            return "unknown_organization"
        ranks = ("member", "admin", "owner", "primary_owner")
        role = organization.members.get(command["actor"]["id"], (None, None))[0]
        needed = "owner" if kind != "add_member" or command.get("role", "member") != "member" else "admin"
        if role is None or ranks.index(role) < ranks.index(needed):
            return "not_allowed"
        if kind == "add_member" and command["user_id"] in organization.members:
            return "already_a_member"
        return None

    def _apply(self, at: datetime, organization: Organization, command: dict[str, Any]) -> None:
        match command["command"]:
            case "set_credits":
                organization.credits_on = command["enabled"]
            case "add_member":
                organization.members[command["user_id"]] = (
                    command.get("role", "member"),
                    command.get("seat_tier", "standard"),
                )
            case "set_organization_limit":
                self._limit(at, organization, command)

    def _limit(self, at: datetime, organization: Organization, command: dict[str, Any]) -> None:
        text, org_id = command["limit_usd"], command["org_id"]
        limit = None if text is None else int(Fraction(text) * PICO)
        if limit == organization.limit:
            return
        organization.limits.append(limit)
        months = {self.month, *(charge.charge_month for charge in self.charges if charge.org_id == org_id)}
        for month in sorted(month for month in months if month >= self.month):
            spend = self.spend(org_id, month)
            if limit is not None and spend >= limit and (spend > 0 or month == self.month):
                self._breach(org_id, month, at, "limit_changed", None)
            elif self.is_breached(org_id, month):
                episode = self.limit_events(org_id, month)[-1][3]
                self.published[org_id].append(("resume", month, len(organization.limits), episode, limit, spend))
