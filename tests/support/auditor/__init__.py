"""The rule book applied the slow way: everything that was sent comes in, everything the ledger owes comes out.

Written from docs/rules.md alone. It keeps every row, entry and limit event for ever and adds them up again whenever
somebody asks, so there is no running total that could go wrong. What the rules leave open it reads as README.md says.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.auditor import refusals
from tests.support.auditor.admission import decide
from tests.support.auditor.applying import apply, register
from tests.support.auditor.basics import DAY, HOUR, Wire, facts_of, picousd
from tests.support.auditor.charging import DUPLICATE, take
from tests.support.auditor.clock import pass_time
from tests.support.auditor.outputs import Applied, Decision, Entry, Refused, Repeated
from tests.support.auditor.refusing import why_not
from tests.support.auditor.state import HORIZON_DAYS, Organization

DEFAULTS: dict[str, Wire] = {
    "register_organization": {"seat_tier": "standard"},
    "add_member": {"seat_tier": "standard", "role": "member"},
    "set_organization_limit": {"this_month_only": False},
    "set_user_limit": {"this_month_only": False},
    "set_tier_limit": {"basis": "each_member", "this_month_only": False},
}


class Said(NamedTuple):
    """A record of a history: when it arrived, `command` | `usage` | `tick`, and what it says."""

    at: int
    kind: str
    body: Wire


@dataclass
class Auditor:
    """Ask it, per organisation, for `published` in the order of `org_seq`; `entries`, burns among them; `decision`.

    Attributes:
        outcomes: per record what became of it: `applied`, `repeated`, `duplicate`, `row`, `time`, a reason.
        dead: (org_id, source, event_id, reason) of every dead letter, in order.
        unknown: answers about organisations nobody knows, in order; they have no `org_seq`.
    """

    grace_hours: int = 72
    digest_hour: int = 8
    suppress_zero_invoices: bool = True
    now: int = 0
    organizations: dict[str, Organization] = field(default_factory=dict)
    outcomes: list[str] = field(default_factory=list)
    dead: list[tuple[str, str, str, str]] = field(default_factory=list)
    unknown: list[tuple[str, Refused]] = field(default_factory=list)

    # What comes in.

    def take_all(self, history: Iterable[tuple[int, str, Wire]]) -> "Auditor":
        for at, kind, body in history:
            self.take(at, kind, body)
        return self

    def take(self, at: int, kind: str, body: Wire) -> str:
        """The next record; what is due by its arrival happens before it. What became of it goes out."""
        self.advance(at)
        outcome = "time" if kind == "tick" else self._command(body) if kind == "command" else self._usage(body)
        self.outcomes.append(outcome)
        return outcome

    def advance(self, to: int) -> None:
        """Time passes; it never goes back."""
        if to <= self.now:
            return
        since, self.now = self.now, to
        for org in self.organizations.values():
            pass_time(org, since, to, self.grace_hours * HOUR, self.digest_hour * HOUR)

    def _command(self, command: Wire) -> str:
        org_id, command_id = command["org_id"], command["command_id"]
        org = self.organizations.get(org_id)
        said = _normal(command)
        if org is not None and command_id in org.answers:
            answered_at, before = org.answers[command_id]
            if self.now - answered_at <= HORIZON_DAYS * DAY:
                same = before == said
                org.published.append(Repeated(command_id) if same else Refused(command_id, refusals.COMMAND_ID_REUSED))
                return "repeated" if same else refusals.COMMAND_ID_REUSED
        reason = why_not(org, self.now, command)
        if reason is not None:
            refused = Refused(command_id, reason)
            if org is None:
                self.unknown.append((org_id, refused))
            else:
                org.published.append(refused)
        elif org is None:
            org = register(self.now, command, suppress_zero_invoices=self.suppress_zero_invoices)
            self.organizations[org_id] = org
        else:
            apply(org, self.now, command)
        if org is not None:
            org.answers[command_id] = (self.now, said)
        return reason or "applied"

    def _usage(self, wire: Wire) -> str:
        facts = facts_of(wire)
        outcome = take(self.organizations.get(facts["org_id"]), self.now, self.grace_hours * HOUR, facts)
        if outcome not in (None, DUPLICATE):
            self.dead.append((facts["org_id"], facts["source"], facts["event_id"], outcome))
        return outcome or "row"

    # What is asked.

    def decision(self, org_id: str, user_id: str, at: int | None = None) -> Decision:
        return decide(self.organizations.get(org_id), user_id, self.now if at is None else at)

    def published(self, org_id: str) -> list[object]:
        """In the order of `org_seq`, from 1, without gaps."""
        return list(self.organizations[org_id].published)

    def entries(self, org_id: str) -> list[Entry]:
        """All but burns, each to be found exactly as it is."""
        return [entry for entry in self.organizations[org_id].entries if entry.type != "burn"]

    def burns(self, org_id: str) -> dict[tuple[str, str, int | None], int]:
        """Sums by account, charge month and lot; those that are 0 are left out."""
        sums: Counter[tuple[str, str, int | None]] = Counter()
        for entry in self.organizations[org_id].entries:
            if entry.type == "burn":
                sums[entry.account, entry.charge_month, entry.lot] += entry.amount
        return {key: amount for key, amount in sums.items() if amount}

    def balance(self, org_id: str) -> int:
        return self.organizations[org_id].balance

    def lots(self, org_id: str) -> dict[int, int]:
        """The unburnt rest of every lot by its number."""
        return {lot.number: lot.rest for lot in self.organizations[org_id].lots}


def _normal(command: Wire) -> Wire:
    """The same command, however its amounts and defaults were written."""
    whole = {**DEFAULTS.get(command["command"], {}), **command}
    return {
        name: picousd(value) if name.endswith("_usd") and value is not None else value for name, value in whole.items()
    }


__all__ = ["Applied", "Auditor", "Decision", "Entry", "Refused", "Repeated", "Said"]
