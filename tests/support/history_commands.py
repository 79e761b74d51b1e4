"""Random account commands: where things stand comes in from an auditor; a command, mostly a valid one, goes out."""

from collections.abc import Callable, Iterator
from random import Random

from tests.support.auditor import Auditor
from tests.support.auditor.basics import AHEAD, DAY, HOUR, Wire, month_of, text_of
from tests.support.auditor.outputs import InvoiceFinalized, Scope
from tests.support.auditor.state import RANKS, SEAT_TIERS, Organization
from tests.support.builders import BILLING, OPERATOR, user

PEOPLE = ("ann", "bob", "cem", "dora", "eve", "fay", "gus")
NAMES = ("acme", "globex", "initech", "umbrella")
PERCENTS: tuple[list[int], ...] = ([50, 80, 100], [25, 50, 75, 90, 100], [100], [], [1, 99])


class Commands:
    """Ids are numbered; the organisations, their plans and their members follow from the random numbers given."""

    def __init__(self, random: Random, auditor: Auditor) -> None:
        self._random = random
        self._auditor = auditor
        self._number = 0
        self._now = 0
        self._sent: list[tuple[int, Wire]] = []
        self._names = NAMES[: random.randint(2, 4)]
        self._changes_plans = random.choice((2, 2, 16))

    # How it begins.

    def opening(self) -> Iterator[Wire]:
        pick = self._random.choice
        for number, org_id in enumerate(self._names):
            plan = ("team", "enterprise")[number] if number < 2 else pick(("team", "enterprise"))
            yield self._of(
                org_id, BILLING, {"command": "register_organization", "plan": plan, "primary_owner": "owner"}
            )
            yield self._of(org_id, user("owner"), {"command": "set_credits", "enabled": True})
            for user_id in PEOPLE[: self._random.randint(2, 7)]:
                body = {"command": "add_member", "user_id": user_id, "seat_tier": pick(SEAT_TIERS)}
                if self._random.random() < 0.3:
                    body["role"] = pick(("admin", "owner"))
                yield self._of(org_id, user("owner"), body)
            if plan == "team":
                yield self._of(org_id, BILLING, self._confirm_payment(self._auditor.organizations[org_id]))

    # One command.

    def some(self, now: int) -> Wire:
        self._now = now
        chance = self._random.random()
        known = [command for at, command in self._sent if now - at < 33 * DAY]
        if known and chance < 0.04:
            command = self._random.choice(known)
            return command if self._random.random() < 0.6 else {**command, "actor": user("somebody-else")}
        org = self._auditor.organizations[self._random.choice(self._names)]
        if org.status == "closed" and self._random.random() < 0.9:
            org = self._auditor.organizations[self._names[0]]
        kinds, weights = zip(*self._kinds(org), strict=True)
        body = self._random.choices(kinds, weights)[0](org)
        actor = self._actor(org, str(body["command"]))
        return self._of(org.org_id if self._random.random() < 0.995 else "nowhere", actor, body)

    def _of(self, org_id: str, actor: Wire, body: Wire) -> Wire:
        self._number += 1
        command = {**body, "command_id": f"c-{self._number}", "org_id": org_id, "actor": body.get("actor", actor)}
        self._sent.append((self._now, command))
        return command

    def _actor(self, org: Organization, kind: str) -> Wire:
        pick = self._random.choice
        chance = self._random.random()
        if kind in BY_BILLING:
            return BILLING if chance < 0.95 else pick((OPERATOR, user("owner"), {**BILLING, "scopes": []}))
        if chance < 0.08:
            return pick((BILLING, OPERATOR, user("stranger"), user(pick(PEOPLE))))
        if kind == "hand_over_ownership" or chance < 0.75:
            return user(next(name for name, member in org.members.items() if member.role == "primary_owner"))
        return user(pick([name for name, member in org.members.items() if member.role != "member"]))

    def _kinds(self, org: Organization) -> list[tuple[Callable[[Organization], Wire], int]]:
        money = 3 if org.plan == "team" else 1
        went_to_team = org.plan == "team" and any(limit.amount is not None for limit in org.tiers.values())
        billing = {"active": 10 if went_to_team else self._changes_plans, "suspended": 25, "closed": 60}[org.status]
        of_invoices = (30 if org.status == "closed" else 5) if org.invoices else 1
        answers = 20 if any(one.status == "pending" for one in org.reloads) else 4 if org.reloads else 0
        asks = 3 if org.plan == "enterprise" else 1
        return [
            (self._organization_limit, 6),
            (self._tier_limit, 10 if org.plan == "enterprise" else 1),
            (self._user_limit, 10),
            (self._switches, 7),
            (self._thresholds, 2),
            (self._seats_and_people, 10),
            (self._roles, 2),
            (self._requests, 4 * asks),
            (self._confirm_payment, 3 * money),
            (self._refund, money),
            (self._grant, money),
            (self._adjust, money),
            (self._credit_note, of_invoices),
            (self._pay_invoice, of_invoices),
            (self._auto_reload, 2 * money),
            (self._reload_answer, answers),
            (self._buying_and_notice, 2 * money),
            (self._billing, billing),
        ]

    # Amounts.

    def _near(self, spend: int) -> str:
        """A limit around what was spent: just below, exactly (if it is whole cents), just above, or out of reach."""
        cents = spend // 10**10 + self._random.choice((-40, 0, 1, 15, 60, 200, 200, 900, 900, 2_500, 2_500))
        return _usd(max(0, cents))

    def _limit(self, org: Organization, scope: Scope) -> Wire:
        chance = self._random.random()
        spend = org.spend(scope, month_of(self._now))
        # Before a month ends, clocks that are ahead spend some of the next one, where this month's raise is none.
        is_ending = month_of(self._now + AHEAD) != month_of(self._now)
        limit = None if chance < (0.4 if is_ending else 0.12) else "0" if chance > 0.95 else self._near(spend)
        only = {"this_month_only": True} if self._random.random() < (0.4 if is_ending else 0.2) else {}
        return {"limit_usd": limit, **only}

    def _amount(self, *cents: int) -> str:
        return "0.00" if self._random.random() < 0.03 else _usd(self._random.choice(cents))

    def _member(self, org: Organization) -> str:
        return self._random.choice(list(org.members)) if self._random.random() < 0.97 else "stranger"

    # What is asked.

    def _organization_limit(self, org: Organization) -> Wire:
        return {"command": "set_organization_limit", **self._limit(org, Scope("organization"))}

    def _tier_limit(self, org: Organization) -> Wire:
        tier = self._random.choice(SEAT_TIERS)
        body: Wire = {"command": "set_tier_limit", "seat_tier": tier}
        if self._random.random() < 0.45:
            return {**body, "basis": "whole_tier", **self._limit(org, Scope("tier", tier))}
        user_ids = [name for name, member in org.members.items() if member.seat_tier == tier] or ["owner"]
        near = Scope("member", None, self._random.choice(user_ids))
        basis = {"basis": "each_member"} if self._random.random() < 0.5 else {}
        return {**body, **basis, **self._limit(org, near)}

    def _user_limit(self, org: Organization) -> Wire:
        user_id = self._member(org)
        return {"command": "set_user_limit", "user_id": user_id, **self._limit(org, Scope("member", None, user_id))}

    def _switches(self, org: Organization) -> Wire:
        pick = self._random.choice
        chance = self._random.random()
        if chance < 0.4:
            # Mostly on again: where credits are off, nothing else is seen.
            return {"command": "set_credits", "enabled": not org.credits_on or chance > 0.08}
        if chance < 0.6:
            return {"command": "set_member_default", "enabled": not org.member_default or chance > 0.45}
        return {
            "command": "set_member_credits",
            "user_id": self._member(org),
            "enabled": pick((True, True, False, None, None)),
        }

    def _thresholds(self, org: Organization) -> Wire:
        return {"command": "set_thresholds", "percents": self._random.choice(PERCENTS)}

    def _seats_and_people(self, org: Organization) -> Wire:
        pick = self._random.choice
        chance = self._random.random()
        if chance < 0.45:
            return {"command": "assign_seat", "user_id": self._member(org), "seat_tier": pick(SEAT_TIERS)}
        if chance < 0.65:
            return {"command": "remove_member", "user_id": self._member(org)}
        if chance < 0.7:
            fields = self._random.sample(["email", "display_name", "notices"], 2)
            return {"command": "set_contact", "user_id": self._member(org), "fields": fields}
        gone = [name for name, member in org.members.items() if member.removed]
        body: Wire = {"command": "add_member", "user_id": pick(gone or PEOPLE)}
        if self._random.random() < 0.8:
            body["seat_tier"] = pick(SEAT_TIERS)
        if self._random.random() < 0.3:
            body["role"] = pick(RANKS)
        return body

    def _roles(self, org: Organization) -> Wire:
        if self._random.random() < 0.25:
            return {"command": "hand_over_ownership", "user_id": self._member(org)}
        return {"command": "set_role", "user_id": self._member(org), "role": self._random.choice(RANKS)}

    def _requests(self, org: Organization) -> Wire:
        pick = self._random.choice
        chance = self._random.random()
        if chance < 0.06:
            return {"command": "set_requests_enabled", "enabled": pick((True, True, False))}
        if chance < 0.5 or not org.requests:
            kind = pick(("credits", "premium_seat"))
            return {"command": "request_credits", "kind": kind, "actor": user(self._member(org))}
        request = pick(org.pending() or org.requests) if chance < 0.97 else None
        body = {"request_id": request.request_id if request else "no-such-request"}
        if chance > 0.85:
            return {"command": "deny_request", **body}
        if chance < 0.65:
            return {"command": "approve_request", **body, "seat_tier": pick(("premium", "premium", "standard"))}
        spend = org.spend(Scope("member", None, request.user_id if request else "owner"), month_of(self._now))
        above = spend // 10**10 + self._random.choice((-20, 0, 1, 30, 400))
        return {"command": "approve_request", **body, "limit_usd": _usd(max(0, above))}

    def _payment_id(self, org: Organization) -> str:
        used = sorted(org.payment_ids)
        return self._random.choice(used) if used and self._random.random() < 0.08 else f"p-{self._number}"

    def _confirm_payment(self, org: Organization) -> Wire:
        amount = self._amount(50, 200, 1_000, 4_000, 10_000)
        return {"command": "confirm_payment", "payment_id": self._payment_id(org), "amount_usd": amount}

    def _refund(self, org: Organization) -> Wire:
        paid = [lot for lot in org.lots if lot.payment_id is not None]
        lot = self._random.choice(paid) if paid and self._random.random() < 0.95 else None
        rest = lot.rest // 10**10 if lot else 0
        return {
            "command": "refund_purchase",
            "payment_id": self._payment_id(org),
            "purchase_payment_id": lot.payment_id if lot else "no-such-payment",
            "amount_usd": self._amount(rest, rest, rest // 2, rest + 1),
        }

    def _grant(self, org: Organization) -> Wire:
        after = self._random.choice((None, HOUR, DAY, 3 * DAY, 10 * DAY, 10 * DAY, -HOUR))
        expires = None if after is None else text_of(self._now + after)
        return {"command": "grant_credits", "amount_usd": self._amount(20, 150, 600), "expires_at": expires}

    def _adjust(self, org: Organization) -> Wire:
        amount = self._amount(10, 100, 700)
        direction = self._random.choice(("credit", "debit"))
        return {"command": "adjust", "direction": direction, "amount_usd": amount, "note": "put right"}

    def _credit_note(self, org: Organization) -> Wire:
        """Mostly for what is left of it."""
        number, invoice = self._invoice(org)
        rest = (invoice.total - org.credited(number)) // 10**10 if invoice else 0
        amount = self._amount(rest, rest // 2, rest // 2, rest + 1)
        return {"command": "issue_credit_note", "invoice_number": number, "amount_usd": amount, "note": "an outage"}

    def _pay_invoice(self, org: Organization) -> Wire:
        """Mostly what is open of it, or half."""
        number, invoice = self._invoice(org)
        left = (invoice.due - org.credited(number) - org.paid(number)) // 10**10 if invoice else 0
        amount = self._amount(*(max(0, cents) for cents in (left, left, left // 2, left + 1, 1)))
        body = {"command": "confirm_payment", "payment_id": self._payment_id(org), "amount_usd": amount}
        return {**body, "invoice_number": number}

    def _invoice(self, org: Organization) -> tuple[int, InvoiceFinalized | None]:
        """Mostly one of the last ones."""
        number = max(1, len(org.invoices) + self._random.choice((-2, -1, -1, 0, 0, 0, 1)))
        return number, org.invoice(number)

    def _auto_reload(self, org: Organization) -> Wire:
        pick = self._random.choice
        on = self._random.random() < 0.85
        threshold = pick((0, 50, 200, max(0, org.balance // 10**10)))
        return {
            "command": "set_auto_reload",
            "enabled": on,
            "threshold_usd": _usd(threshold),
            "amount_usd": self._amount(threshold, threshold + 1, threshold + 300, threshold + 900),
            "monthly_maximum_usd": pick((None, None, _usd(1_000), _usd(2_500))),
        }

    def _reload_answer(self, org: Organization) -> Wire:
        """Some are answered at once, some late, some never; mostly it is what was asked for that was paid."""
        one = self._random.choice(org.reloads[-2:])
        reload_id = one.reload_id if self._random.random() < 0.92 else "no-such-reload"
        cents = one.amount // 10**10
        if self._random.random() < 0.3:
            return {"command": "report_reload_failed", "reload_id": reload_id, "detail": "card declined"}
        return {
            "command": "report_reload_paid",
            "reload_id": reload_id,
            "payment_id": self._payment_id(org),
            "amount_usd": _usd(self._random.choice((cents, cents, cents, cents // 2, cents + 300))),
        }

    def _buying_and_notice(self, org: Organization) -> Wire:
        if self._random.random() < 0.25:
            return {"command": "buy_credits", "amount_usd": self._amount(100, 5_000)}
        below = _usd(max(0, org.balance // 10**10 - self._random.choice((0, 1, 50, 200))))
        threshold = self._random.choice((None, "0", "0.50", "10.00", below, below, below))
        return {"command": "set_balance_notice", "threshold_usd": threshold}

    def _billing(self, org: Organization) -> Wire:
        chance = self._random.random()
        if org.status == "closed":
            return {"command": "close_organization"}
        if org.status == "suspended" and chance < 0.8:
            return {"command": "reinstate_organization"}
        if chance < 0.15:
            return {"command": "suspend_organization"}
        if chance < 0.35:
            return {"command": "reinstate_organization"}
        if chance < 0.4:
            return {"command": "register_organization", "plan": "team", "primary_owner": "owner"}
        if chance < 0.5 and org.org_id == self._names[-1] and len(self._names) > 2:
            return {"command": "close_organization"}
        other = "enterprise" if org.plan == "team" else "team"
        return {"command": "change_plan", "plan": self._random.choice((other, other, other, org.plan))}


BY_BILLING = {
    "register_organization",
    "suspend_organization",
    "reinstate_organization",
    "close_organization",
    "change_plan",
    "confirm_payment",
    "report_reload_paid",
    "report_reload_failed",
    "refund_purchase",
    "grant_credits",
    "adjust",
    "issue_credit_note",
}


def _usd(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
