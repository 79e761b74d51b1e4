"""On real Kafka, end to end: a scripted month with every command, its worker killed three times on the way; what comes
out is what a ledger says that nobody disturbed (R43, R44).

The undisturbed ledger is the one in memory, fed with the same records in the order of their arrival.
"""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.agents.outputs import TOPIC_OF
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.partitioning import partition_of
from pipeline.publisher import Outgoing
from pipeline.replay import read_event
from pipeline.settings import Settings
from pipeline.topics import (
    ACCOUNT_COMMANDS,
    CREDIT_STATUS,
    LEDGER_OUTPUTS,
    USAGE_EVENTS,
)
from schemas import export
from schemas.commands import Command
from schemas.dead_letters import Reason
from schemas.events import CommandApplied, CommandRefused, LimitBreached, event_id
from schemas.instants import MICROS_PER_HOUR, MICROS_PER_SECOND, format_instant
from schemas.invoices import LINES_AT_ONCE
from tests.support import builders
from tests.support.auditor.refusals import REASONS
from tests.support.builders import BILLING, OPERATOR, Wire, as_json, cloud_event, micros, user
from tests.support.ledger import LedgerInMemory
from tests.support.ledger_cluster import Death, written_through
from tests.support.undisturbed import assert_same, compare, said, said_by, undisturbed

PARTITIONS = 4
BEGINS = "2026-05-02T09:00:00Z"
MAY_ENDS = "2026-06-01T00:00:00Z"
MAY_CLOSES = "2026-06-04T00:00:00Z"
ENDS = "2026-06-05T09:00:00Z"  # 34 days: every answer is still remembered (R38b)

DEATHS = [Death(80, "before"), Death(80, "after"), Death(80, "before")]
"""Each worker's own count; the whole month takes some 340 commits."""

PEOPLE = {
    "acme": ("ann", "bob"),  # Team
    "globex": ("dan", "eve", "fay"),  # Enterprise, with limits and requests
    "hooli": ("qi",),  # Team, closed at the end
    "initech": ("ivy", "jon"),  # Enterprise, Team for a week
    "umbrella": ("max",),  # Enterprise, beside initech
}
"""Organisations in every partition, and who uses a little day and night."""


# The script.


class Month:
    """What is sent, in the order of its arrival: each call is one record, a second after the last one."""

    def __init__(self) -> None:
        self.now = micros(BEGINS)
        self.records: list[Outgoing] = []
        self._commands = self._events = 0

    def at(self, instant: str) -> None:
        """Time goes on until then; everybody uses a little twice a day."""
        while self.now + 12 * MICROS_PER_HOUR < micros(instant):
            self.now += 12 * MICROS_PER_HOUR
            for org_id, user_ids in PEOPLE.items():
                for number, user_id in enumerate(user_ids, start=1):
                    funding = "included" if self._events % 3 == 0 else "credits"
                    self.uses(org_id, user_id, number, input_tokens=1_000 * number, funding=funding)
        self.now = micros(instant)

    def says(self, org_id: str, who: str, what: str, **fields: Any) -> Wire:
        """One command; `billing` and `operator` are no people."""
        self._commands += 1
        actor = {"billing": BILLING, "operator": OPERATOR}.get(who, user(who))
        named: Wire = {"command_id": f"c-{self._commands}"} | fields
        command = builders.command(what, actor, org_id=org_id, **named)
        self.sends(ACCOUNT_COMMANDS.name, org_id, as_json(command))
        return command

    def event(self, org_id: str, user_id: str, cents: int, **fields: Any) -> Wire:
        """An event that costs so many cents and happened a moment ago."""
        just_now = format_instant(self.now - 2 * MICROS_PER_SECOND)
        usual: Wire = {"org_id": org_id, "user_id": user_id, "source": "chat", "occurred_at": just_now}
        return builders.searches(self._next_id(), cents, **usual | fields)

    def uses(self, org_id: str, user_id: str, cents: int, **fields: Any) -> Wire:
        """One event in a record of its own."""
        event = self.event(org_id, user_id, cents, **fields)
        self.sends(USAGE_EVENTS.name, org_id, as_json(event))
        return event

    def corrects(self, wrong: Wire, cents: int, **fields: Any) -> Wire:
        """The event with other counts, in place of the one that was sent."""
        identity = ("org_id", "event_id", "source", "corrects")
        original = {name: value for name, value in wrong.items() if name not in identity}
        counts = {"web_search_requests": cents, "corrects": {"event_id": wrong["event_id"], "original": original}}
        right = wrong | {"event_id": self._next_id()} | counts | fields
        self.sends(USAGE_EVENTS.name, right["org_id"], as_json(right))
        return right

    def sends(self, topic: str, org_id: str, value: bytes) -> None:
        """Any bytes, to the organisation's own partition."""
        number = partition_of(org_id.encode(), PARTITIONS)
        self.records.append(Outgoing(topic, org_id.encode(), value, self.now, number))
        self.now += MICROS_PER_SECOND

    def misplaces_it(self) -> None:
        """The last record lies in the next partition."""
        last = self.records.pop()
        self.records.append(last._replace(partition=((last.partition or 0) + 1) % PARTITIONS))

    def _next_id(self) -> str:
        self._events += 1
        return f"e-{self._events}"


def the_month() -> list[Outgoing]:
    """All of it."""
    month = Month()
    organizations_and_members(month)
    acme_buys_and_burns(month)
    globex_reaches_its_limits(month)
    globex_asks(month)
    initech_changes_its_plan(month)
    products_misbehave(month)
    acme_runs_dry(month)
    umbrella_uses_everything(month)
    hooli_is_closed(month)
    may_ends(month)
    may_closes(month)
    return month.records


def organizations_and_members(month: Month) -> None:
    for org_id, plan, owner in (
        ("acme", "team", "olga"),
        ("globex", "enterprise", "gina"),
        ("hooli", "team", "pia"),
        ("initech", "enterprise", "ines"),
        ("umbrella", "enterprise", "uma"),
    ):
        month.says(org_id, "billing", "register_organization", plan=plan, primary_owner=owner)
        month.says(org_id, owner, "set_credits", enabled=True)
        for user_id in PEOPLE[org_id]:
            month.says(org_id, owner, "add_member", user_id=user_id)
    month.says("acme", "olga", "assign_seat", user_id="bob", seat_tier="premium")
    month.says("globex", "gina", "add_member", user_id="hal", role="admin")
    month.says("globex", "hal", "assign_seat", user_id="fay", seat_tier="premium")
    # Not these.
    month.says("acme", "billing", "register_organization", plan="team", primary_owner="olga")  # it is registered
    month.says("acme", "ann", "set_credits", enabled=False)  # takes an owner
    month.says("acme", "operator", "close_organization")  # nobody's but billing's
    month.says("acme", "olga", "add_member", user_id="ann")  # she is one
    month.says("acme", "olga", "set_user_limit", user_id="nobody", limit_usd="5")  # no member
    month.says("acme", "olga", "set_user_limit", user_id="ann", limit_usd="5.001")  # no whole cents
    month.says("nowhere", "olga", "set_credits", enabled=True)  # never registered


def acme_buys_and_burns(month: Month) -> None:
    """Prepaid: bought, granted, burnt, expired, reloaded, put right, given back."""
    bought = month.says("acme", "olga", "buy_credits", amount_usd="100")
    purchase_id = event_id("purchase", "acme", bought["command_id"])
    paid: Wire = {"payment_id": "p-1", "amount_usd": "100", "purchase_id": purchase_id}
    again = month.says("acme", "billing", "confirm_payment", **paid)
    month.says("acme", "billing", "confirm_payment", command_id=again["command_id"], **paid)  # answered as before
    month.says("acme", "billing", "confirm_payment", **paid)  # another command, the same payment
    month.says("acme", "billing", "confirm_payment", command_id=again["command_id"], payment_id="p-9", amount_usd="1")
    month.says("acme", "olga", "set_balance_notice", threshold_usd="30")
    reload: Wire = {"enabled": True, "threshold_usd": "20", "amount_usd": "50"}
    month.says("acme", "olga", "set_auto_reload", **reload, monthly_maximum_usd="150")
    month.says("acme", "olga", "set_auto_reload", **reload, monthly_maximum_usd="49")  # has no room for one
    month.says("acme", "olga", "set_auto_reload", **reload | {"amount_usd": "20"}, monthly_maximum_usd=None)  # no help
    month.says("acme", "olga", "set_organization_limit", limit_usd="200")
    month.says("acme", "olga", "set_user_limit", user_id="ann", limit_usd="12")
    month.says("acme", "olga", "set_tier_limit", seat_tier="standard", limit_usd="5")  # not on Team

    month.at("2026-05-04T10:00:00Z")
    month.says("acme", "billing", "grant_credits", amount_usd="40", expires_at="2026-05-09T00:00:00Z")
    month.says("acme", "billing", "grant_credits", amount_usd="1", expires_at="2026-05-04T10:00:00Z")  # over
    month.uses("acme", "ann", 1_150)  # of 1,200: 50 and 80 %
    month.uses("acme", "ann", 60)  # paused
    month.uses("acme", "ann", 5)  # used all the same
    month.says("acme", "olga", "set_user_limit", user_id="ann", limit_usd="25")  # and goes on
    month.uses("acme", "bob", 1_000)

    month.at("2026-05-10T10:00:00Z")  # what was left of the grant has expired
    month.uses("acme", "bob", 6_500)  # the balance is low
    month.uses("acme", "bob", 1_500)  # so low that it asks for a reload
    month.says("acme", "billing", "report_reload_paid", **reload_of("acme", 1), payment_id="p-2", amount_usd="50")
    month.uses("acme", "bob", 5_000)
    month.says("acme", "billing", "report_reload_failed", **reload_of("acme", 2), detail="card declined")  # suspended
    month.says("acme", "olga", "set_auto_reload", **reload, monthly_maximum_usd=None)  # asks at once: nobody answers
    month.at("2026-05-12T10:00:00Z")
    month.says("acme", "billing", "report_reload_paid", **reload_of("acme", 3), payment_id="p-3", amount_usd="50")
    month.says("acme", "billing", "report_reload_paid", **reload_of("acme", 3), payment_id="p-8", amount_usd="50")
    month.says("acme", "billing", "report_reload_failed", **reload_of("acme", 99), detail="which?")
    month.says("acme", "olga", "set_auto_reload", **reload | {"enabled": False}, monthly_maximum_usd=None)
    month.says("acme", "billing", "adjust", direction="credit", amount_usd="2", note="a goodwill")
    month.says("acme", "billing", "adjust", direction="debit", amount_usd="3", note="a chargeback")
    month.says("acme", "billing", "adjust", direction="debit", amount_usd="0", note="nothing")
    refund: Wire = {"purchase_payment_id": "p-3", "amount_usd": "10"}
    month.says("acme", "billing", "refund_purchase", payment_id="r-1", **refund)
    month.says("acme", "billing", "refund_purchase", payment_id="r-2", **refund | {"amount_usd": "41"})  # 40 are left
    month.says("acme", "billing", "refund_purchase", payment_id="r-2", **refund | {"purchase_payment_id": "p-7"})


def globex_reaches_its_limits(month: Month) -> None:
    """All three scopes, notices at percents of its own, raised, lowered, corrected."""
    month.at("2026-05-13T09:00:00Z")
    month.says("globex", "gina", "set_thresholds", percents=[90, 40])
    month.says("globex", "gina", "set_tier_limit", seat_tier="standard", limit_usd="15")
    pooled = {"seat_tier": "premium", "basis": "whole_tier"}
    month.says("globex", "gina", "set_tier_limit", **pooled, limit_usd="30")
    month.says("globex", "gina", "set_organization_limit", limit_usd="70")
    month.says("globex", "gina", "set_member_default", enabled=False)
    month.says("globex", "gina", "set_member_credits", user_id="dan", enabled=True)
    month.uses("globex", "eve", 10)  # hers are off
    month.says("globex", "gina", "set_member_default", enabled=True)
    month.uses("globex", "dan", 1_600)  # his own share of the tier's
    month.uses("globex", "eve", 1_300)
    wrong = month.uses("globex", "fay", 3_100)  # the tier's
    month.uses("globex", "fay", 7)
    right = month.corrects(wrong, 2_900)  # goes on
    month.corrects(right, 3_200)  # and not
    month.says("globex", "gina", "set_tier_limit", **pooled, limit_usd="80", this_month_only=True)
    month.uses("globex", "fay", 1_000)  # the organisation's: 16 + 13 + 32 + 10 dollars
    month.says("globex", "gina", "set_organization_limit", limit_usd="60")  # still
    month.says("globex", "gina", "set_organization_limit", limit_usd="65", this_month_only=True)  # still
    month.says("globex", "gina", "set_organization_limit", limit_usd="64", this_month_only=True)  # no raise
    month.says("globex", "gina", "set_organization_limit", limit_usd="500")


def globex_asks(month: Month) -> None:
    """Requests, roles and seats."""
    month.at("2026-05-14T09:00:00Z")
    month.says("globex", "gina", "set_requests_enabled", enabled=False)
    month.says("globex", "dan", "request_credits", kind="credits")  # not now
    month.says("globex", "gina", "set_requests_enabled", enabled=True)
    first = request_of(month.says("globex", "dan", "request_credits", kind="premium_seat"))
    month.says("globex", "dan", "request_credits", kind="credits")  # the first one stands
    month.says("globex", "hal", "deny_request", **first)
    month.says("globex", "hal", "approve_request", **first, limit_usd="99")  # it is denied
    second = request_of(month.says("globex", "dan", "request_credits", kind="premium_seat"))
    third = request_of(month.says("globex", "eve", "request_credits", kind="credits"))
    own = request_of(month.says("globex", "hal", "request_credits", kind="credits"))
    month.says("globex", "hal", "approve_request", **own, limit_usd="10")  # nobody approves their own
    month.says("globex", "fay", "request_credits", kind="premium_seat")  # she has one
    month.says("globex", "hal", "deny_request", request_id="unheard-of")
    month.at("2026-05-15T09:00:00Z")  # at eight reviewers were told
    month.says("globex", "hal", "approve_request", **third, limit_usd="1")  # less than she spent
    month.says("globex", "gina", "set_credits", enabled=False)
    month.says("globex", "hal", "approve_request", **third, limit_usd="40")  # switches nobody else's credits on
    month.says("globex", "gina", "set_credits", enabled=True)
    month.says("globex", "hal", "approve_request", **third, limit_usd="40")
    month.says("globex", "hal", "approve_request", **second, seat_tier="premium")
    month.uses("globex", "dan", 20)
    month.says("globex", "gina", "set_role", user_id="hal", role="owner")
    month.says("globex", "gina", "set_role", user_id="gina", role="owner")  # she is the primary one
    month.says("globex", "gina", "hand_over_ownership", user_id="hal")
    month.says("globex", "gina", "hand_over_ownership", user_id="gina")  # it is not hers any more
    month.says("globex", "fay", "set_contact", user_id="fay", fields=["notices", "email"])
    month.says("globex", "fay", "set_contact", user_id="dan", fields=["email"])  # takes an owner
    month.says("globex", "eve", "request_credits", kind="premium_seat")
    month.says("globex", "hal", "remove_member", user_id="eve")  # her request goes with her
    month.uses("globex", "eve", 30)
    month.says("globex", "hal", "remove_member", user_id="hal")  # the primary owner stays
    month.at("2026-05-16T09:00:00Z")
    month.says("globex", "hal", "add_member", user_id="eve", seat_tier="premium", role="admin")
    month.says("globex", "hal", "set_user_limit", user_id="eve", limit_usd="9")  # she is above


def initech_changes_its_plan(month: Month) -> None:
    """Suspended, reinstated, on Team for a week; and a limit of nothing next door."""
    month.says("initech", "billing", "suspend_organization")
    month.uses("initech", "ivy", 15)
    month.says("initech", "billing", "reinstate_organization")
    month.says("initech", "ivy", "request_credits", kind="credits")
    month.says("initech", "ines", "set_tier_limit", seat_tier="standard", limit_usd="1", basis="whole_tier")
    month.uses("initech", "jon", 120)
    month.says("initech", "billing", "change_plan", plan="team")
    month.says("initech", "billing", "change_plan", plan="team")  # it is
    month.uses("initech", "jon", 40)
    month.says("initech", "billing", "confirm_payment", payment_id="p-1", amount_usd="30")
    month.uses("initech", "jon", 500)
    month.says("umbrella", "uma", "set_organization_limit", limit_usd="0")
    month.at("2026-05-20T09:00:00Z")
    month.says("initech", "billing", "change_plan", plan="enterprise")
    month.says("initech", "ines", "buy_credits", amount_usd="10")  # has no balance to buy
    month.says("umbrella", "uma", "set_organization_limit", limit_usd="30")


def products_misbehave(month: Month) -> None:
    """Twice, late, wrong, several at once; nothing of it delays what is good."""
    month.at("2026-05-21T09:00:00Z")
    good = month.uses("umbrella", "max", 110)
    month.sends(USAGE_EVENTS.name, "umbrella", as_json(cloud_event(good)))  # the same in another form
    month.sends(USAGE_EVENTS.name, "umbrella", as_json(good | {"web_search_requests": 111}))  # a conflict
    month.uses("umbrella", "max", 12, occurred_at="2026-05-18T09:00:00Z")
    month.uses("umbrella", "max", 13, occurred_at="2026-04-18T09:00:00Z")  # April is closed: a prior-period line
    month.uses("umbrella", "max", 14, occurred_at="2026-04-10T09:00:00Z")  # too old
    month.uses("umbrella", "max", 15, occurred_at="2026-05-21T10:00:00Z")  # in the future
    month.uses("umbrella", "mia", 16)
    month.uses("umbrella", "max", 17, model="claude-unheard-of")
    month.uses("umbrella", "max", 18, processing="batch", speed="fast")
    month.uses("umbrella", "max", 100_001)
    month.uses("umbrella", "max", -1)
    month.uses("umbrella", "max", 19, token_count=5)
    month.uses("nowhere", "max", 20)
    month.sends(USAGE_EVENTS.name, "umbrella", b"{")
    month.sends(USAGE_EVENTS.name, "umbrella", b" " * 1_000_001)
    month.sends(ACCOUNT_COMMANDS.name, "umbrella", b"{}")
    several = [month.event("umbrella", "max", cents) for cents in (21, -1, 22)]
    month.sends(USAGE_EVENTS.name, "umbrella", as_json([*several, month.event("initech", "jon", 23)]))
    month.corrects(good, 90)
    month.corrects(good, 91)  # has been
    month.corrects(several[0], 5, product="another")  # changes more than counts
    month.corrects(several[0] | {"event_id": "never-taken"}, 5)


def acme_runs_dry(month: Month) -> None:
    """Everybody pauses, into the next month; a correction helps for a while."""
    month.at("2026-05-22T09:00:00Z")
    month.says("acme", "olga", "set_organization_limit", limit_usd="400")
    wrong = month.uses("acme", "bob", 9_000)
    month.uses("acme", "ann", 4)
    month.corrects(wrong, 4_000)
    month.uses("acme", "bob", 7_000)
    month.says("acme", "billing", "confirm_payment", payment_id="p-4", amount_usd="0.50")  # not enough


def umbrella_uses_everything(month: Month) -> None:
    """More products than lines of an invoice in one record."""
    month.at("2026-05-26T09:00:00Z")
    many = [month.event("umbrella", "max", 1, product=f"product-{n}") for n in range(LINES_AT_ONCE + 1)]
    month.sends(USAGE_EVENTS.name, "umbrella", as_json(many))


def hooli_is_closed(month: Month) -> None:
    month.says("hooli", "billing", "confirm_payment", payment_id="p-1", amount_usd="60")
    month.says("hooli", "billing", "grant_credits", amount_usd="5", expires_at=None)
    month.uses("hooli", "qi", 1_234)
    month.at("2026-05-28T09:00:00Z")
    month.says("hooli", "billing", "close_organization")
    month.says("hooli", "billing", "close_organization")  # it is
    month.says("hooli", "pia", "set_credits", enabled=True)  # too late
    month.uses("hooli", "qi", 5)


def may_ends(month: Month) -> None:
    """On both sides of the instant, and across it: a clock ahead, and late ones in the days of grace."""
    month.at("2026-05-31T23:57:00Z")
    for org_id, user_id in (("globex", "fay"), ("acme", "ann")):
        month.uses(org_id, user_id, 30, occurred_at="2026-05-31T23:56:59Z")
        month.uses(org_id, user_id, 31, occurred_at=MAY_ENDS)  # June's already
    month.at("2026-05-31T23:59:59.999Z")
    month.uses("umbrella", "max", 32, occurred_at="2026-05-31T23:59:59.999Z")
    month.at(MAY_ENDS)
    month.says("umbrella", "uma", "set_organization_limit", limit_usd="2")
    month.uses("umbrella", "max", 1, occurred_at=MAY_ENDS)
    for org_id, user_ids in PEOPLE.items():
        for user_id in user_ids:
            month.uses(org_id, user_id, 210)
    month.at("2026-06-02T09:00:00Z")
    month.says("acme", "billing", "confirm_payment", payment_id="p-5", amount_usd="150")
    month.uses("globex", "dan", 300, occurred_at="2026-05-31T09:00:00Z")
    month.uses("globex", "fay", 3_300)  # the raise is over
    for old in month.records[::20]:  # a gate and a product send once more what was answered weeks ago
        month.sends(old.topic, (old.key or b"").decode(), old.value)


def may_closes(month: Month) -> None:
    """Then late usage is a prior-period line; and two records lay in the wrong partition."""
    late = "2026-05-31T22:00:00Z"
    month.at("2026-06-03T23:59:59Z")
    last = month.uses("globex", "dan", 40, occurred_at=late)
    month.at(MAY_CLOSES)
    month.uses("globex", "dan", 41, occurred_at=late)
    month.uses("acme", "ann", 42, occurred_at=late)
    month.corrects(last, 400)
    note: Wire = {"invoice_number": 1, "amount_usd": "5", "note": "an outage"}
    month.says("globex", "billing", "issue_credit_note", **note)
    month.says("globex", "billing", "issue_credit_note", **note | {"amount_usd": "999"})  # more than it was
    month.says("globex", "billing", "issue_credit_note", **note | {"invoice_number": 2})  # not yet
    paid: Wire = {"invoice_number": 1, "payment_id": "p-globex", "amount_usd": "1"}
    month.says("globex", "billing", "confirm_payment", **paid)
    month.says("globex", "billing", "confirm_payment", **paid | {"payment_id": "p-more", "amount_usd": "999"})
    month.says("globex", "billing", "confirm_payment", **paid | {"payment_id": "p-x", "purchase_id": "for-both"})
    month.at("2026-06-05T08:00:00Z")
    month.uses("globex", "fay", 50, occurred_at=late)
    month.misplaces_it()
    month.says("acme", "olga", "set_role", user_id="ann", role="admin")
    month.misplaces_it()


def reload_of(org_id: str, number: int) -> Wire:
    return {"reload_id": event_id("reload", org_id, number)}


def request_of(command: Wire) -> Wire:
    return {"request_id": event_id("request", command["org_id"], command["command_id"])}


# The tests.


@pytest.mark.kafka
@pytest.mark.faults
async def test_a_month_with_every_command_comes_out_the_same_although_its_worker_is_killed_three_times(
    kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=topic_prefix,
        partitions=PARTITIONS,
        mode="replay",
        session_timeout_ms=3_000,
        data_dir=tmp_path,
    )
    records = the_month()
    written = await written_through(DEATHS, settings, records, micros(ENDS))
    compare(written, records, PARTITIONS, micros(ENDS))


@pytest.fixture(scope="module")
def ledgers() -> list[LedgerInMemory]:
    """What nobody disturbed, to be looked at only."""
    return undisturbed(the_month(), PARTITIONS, micros(ENDS))


def test_the_month_has_everything(ledgers: list[LedgerInMemory]) -> None:
    """A command, a kind of event, a reason that is new is missing here until it is told in the script."""
    arrivals = [record.arrival_micros for record in the_month()]
    assert arrivals == sorted(arrivals)
    letters = [letter for ledger in ledgers for letter in ledger.dead_letters]
    topics = {topic.name for topic in TOPIC_OF.values()}
    events = [read_event(value) for ledger in ledgers for topic in topics for value in ledger.outputs.get(topic, ())]
    assert {type(event) for event in events} == set(export.EVENTS)
    applied = {event.command for event in events if isinstance(event, CommandApplied)}
    assert applied == {command.model_fields["command"].default for command in get_args(Command)}
    assert {event.reason for event in events if isinstance(event, CommandRefused)} == {*REASONS, "invalid"}
    assert {letter.reason for letter in letters} == {*Reason} - {Reason.INTERNAL_ERROR}
    scopes = {event.scope.kind for event in events if isinstance(event, LimitBreached)}
    assert scopes == {"member", "tier", "organization"}
    assert {row.usage_month == row.charge_month for ledger in ledgers for row in ledger.rows} == {True, False}
    assert all(ledger.rows for ledger in ledgers)


def about(value: bytes) -> str:
    """Whom a record is about, if it says so on its face."""
    return str(json.loads(value.partition(b"\n")[0]).get("subject"))


@pytest.mark.parametrize("damage", ["lost", "doubled", "swapped"])
@pytest.mark.parametrize("topic", [topic.name for topic in LEDGER_OUTPUTS if topic is not CREDIT_STATUS])
def test_one_record_lost_doubled_or_swapped_with_the_next_would_show(
    ledgers: list[LedgerInMemory], topic: str, damage: str
) -> None:
    ledger = max(ledgers, key=lambda one: len(one.outputs.get(topic, ())))
    values = ledger.outputs[topic]
    middle = range(len(values) // 2, len(values))
    at = next(at for at in middle if about(values[at - 1]) == about(values[at]))
    this, following = values[at - 1 : at + 1]
    damaged = {"lost": [following], "doubled": [this, this, following], "swapped": [following, this]}[damage]
    outputs = ledger.outputs | {topic: [*values[: at - 1], *damaged, *values[at + 1 :]]}
    with pytest.raises(AssertionError):
        assert_same(
            said(outputs, ledger.latest[CREDIT_STATUS.name], ledger.cells, ledger.now_micros), said_by(ledger), damage
        )
