"""A story for the auditor, short enough to work out by hand: what is done and used comes in, what was told goes out.

A web search costs one cent.
"""

from typing import Any

from tests.support.auditor import Auditor
from tests.support.auditor.outputs import Applied, Breach, Resume, Row
from tests.support.builders import BILLING, CENT_PICOUSD, Wire, micros, searches, user

BY_BILLING = {
    "register_organization",
    "confirm_payment",
    "grant_credits",
    "adjust",
    "refund_purchase",
    "change_plan",
    "report_reload_paid",
    "report_reload_failed",
    "close_organization",
    "issue_credit_note",
}


class Story:
    """What happens at `acme`, one thing after the other; `told` are the outputs since it was last asked."""

    def __init__(self, plan: str = "enterprise", at: str = "2026-05-10T12:00:00Z", **settings: Any) -> None:
        self.at, self.auditor, self.number, self.read = at, Auditor(**settings), 0, 0
        self.do("register_organization", plan=plan, primary_owner="owner")
        self.do("set_credits", enabled=True)
        self.do("add_member", user_id="ann")
        self.do("add_member", user_id="bob")
        self.told()

    def do(self, command: str, *, by: str | None = None, **fields: Any) -> str:
        self.number += 1
        actor = BILLING if command in BY_BILLING and by is None else user(by or "owner")
        body = {
            "command": command,
            "command_id": f"c-{self.number}",
            "org_id": "acme",
            "actor": actor,
            **fields,
        }
        return self.auditor.take(micros(self.at), "command", body)

    def use(self, wire: Wire) -> str:
        return self.auditor.take(micros(self.at), "usage", {"occurred_at": self.at, **wire})

    def cents(self, event_id: str, cents: int, **fields: Any) -> str:
        return self.use({**searches(event_id, cents), "occurred_at": self.at, **fields})

    def told(self) -> list[Any]:
        """Without what only says that a command was applied."""
        self.auditor.advance(micros(self.at))
        every = self.auditor.published("acme")
        new, self.read = every[self.read :], len(every)
        return [told for told in new if not isinstance(told, Applied)]

    def limits(self) -> list[Any]:
        return [told for told in self.told() if isinstance(told, Breach | Resume)]

    def rows(self) -> list[Row]:
        return self.auditor.organizations["acme"].rows

    def reasons(self, user_id: str = "ann") -> tuple[str, ...]:
        return self.auditor.decision("acme", user_id, micros(self.at)).reasons


def usd(cents: int) -> int:
    return cents * CENT_PICOUSD


def correcting(wrong: Wire, event_id: str, cents: int) -> Wire:
    """The right count in the place of a wrong one."""
    said = {name: value for name, value in wrong.items() if name not in ("org_id", "event_id", "source", "corrects")}
    corrects = {"event_id": wrong["event_id"], "original": said}
    return {**wrong, "event_id": event_id, "web_search_requests": cents, "corrects": corrects}
