"""Cells of requests: a member's request for credits or a Premium seat, and all of one organisation's together (R35)."""

from typing import Any, ClassVar, Literal

from pipeline.domain.cell import Cell
from schemas.organization import RequestKind

RequestStatus = Literal["pending", "approved", "denied", "closed"]


class Request(Cell):
    """A member's request and what became of it; `ended_by` is who reviewed it, or why it was closed."""

    __slots__ = (
        "asked_at_micros",
        "ended_at_micros",
        "ended_by",
        "kind",
        "org_id",
        "request_id",
        "status",
        "user_id",
    )
    KIND = "request"
    IDENTITY = ("org_id", "request_id")
    FIELDS = ("user_id", "kind", "asked_at_micros", "status", "ended_at_micros", "ended_by")
    DEFAULTS: ClassVar[dict[str, Any]] = {"status": "pending", "ended_at_micros": None, "ended_by": None}

    org_id: str
    request_id: str
    user_id: str
    kind: RequestKind
    asked_at_micros: int
    status: RequestStatus
    ended_at_micros: int | None
    ended_by: str | None


class Requests:
    """All requests of one organisation, and the pending one of each member."""

    def __init__(self) -> None:
        self.by_id: dict[str, Request] = {}
        self.pending: dict[str, Request] = {}

    def add(self, request: Request) -> None:
        """Take up a new one, or one of an earlier life."""
        self.by_id[request.request_id] = request
        if request.status == "pending":
            self.pending[request.user_id] = request

    def outstanding(self) -> list[Request]:
        """Those pending, the longest waiting first."""
        return sorted(self.pending.values(), key=lambda request: (request.asked_at_micros, request.request_id))
