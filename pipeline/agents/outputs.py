"""What a chunk writes to output topics: events, rows, dead letters, status in; records by topic out."""

from collections.abc import Sequence

import msgspec

from pipeline.engine.contract import Output
from pipeline.topics import (
    ACCOUNT_EVENTS,
    CREDIT_STATUS,
    DEAD_LETTERS,
    INVOICES,
    LEDGER_ENTRIES,
    LIMIT_BREACHES,
    NOTIFICATIONS,
    PRICED_USAGE,
    RELOAD_REQUESTS,
    Topic,
)
from schemas.dead_letters import DeadLetter
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    CreditsPaused,
    CreditsResumed,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
    envelope,
)
from schemas.invoices import (
    CreditNoteIssued,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    PaymentReceived,
    StatementIssued,
)
from schemas.ledger import LedgerEntry, PurchaseRequested, ReloadRequested
from schemas.notifications import AutoReloadSuspended, BalanceLow, RequestsDigest, ThresholdReached
from schemas.status import StatusRecord

MAX_VALUE_BYTES = 890_000
_STRIDE_PIECES = 32
_encode = msgspec.json.Encoder().encode

TOPIC_OF: dict[type[LedgerEvent], Topic] = {
    LimitBreached: LIMIT_BREACHES,
    LimitResumed: LIMIT_BREACHES,
    CreditsPaused: LIMIT_BREACHES,
    CreditsResumed: LIMIT_BREACHES,
    CommandApplied: ACCOUNT_EVENTS,
    CommandRefused: ACCOUNT_EVENTS,
    CommandRepeated: ACCOUNT_EVENTS,
    LedgerEntry: LEDGER_ENTRIES,
    ReloadRequested: RELOAD_REQUESTS,
    PurchaseRequested: RELOAD_REQUESTS,
    ThresholdReached: NOTIFICATIONS,
    BalanceLow: NOTIFICATIONS,
    AutoReloadSuspended: NOTIFICATIONS,
    RequestsDigest: NOTIFICATIONS,
    InvoiceDrafted: INVOICES,
    InvoiceFinalized: INVOICES,
    InvoiceContinued: INVOICES,
    CreditNoteIssued: INVOICES,
    PaymentReceived: INVOICES,
    StatementIssued: INVOICES,
}


class Outputs:
    """The records of the chunk under way.

    Attributes:
        by_topic: in order.
        published: how many events of each type.
        size_bytes: of their values.
    """

    def __init__(self) -> None:
        self.by_topic: dict[str, list[Output]] = {}
        self.published: dict[str, int] = {}
        self.size_bytes = 0

    def publish(self, events: Sequence[LedgerEvent]) -> None:
        """Each goes to the topic of its kind, under its organisation's key."""
        for event in events:
            self.published[event.TYPE] = self.published.get(event.TYPE, 0) + 1
            self._put(TOPIC_OF[type(event)], event.org_id.encode(), _encode(envelope(event)))

    def status(self, records: Sequence[StatusRecord]) -> None:
        """Each takes the place of what was said under its key before."""
        for record in records:
            self._put(CREDIT_STATUS, record.key(), record.value())

    def dead_letter(self, letter: DeadLetter) -> None:
        """One event, or one record that could not be taken apart."""
        self._put(DEAD_LETTERS, letter.dead_letter_id.encode(), letter.model_dump_json().encode())

    def rows(self, pieces: Sequence[bytes]) -> None:
        """JSON lines in pieces, cut below what a Kafka batch may hold; to be given once a chunk, at its end."""
        records: list[Output] = []
        begin = size = 0
        for end in range(0, len(pieces), _STRIDE_PIECES):
            more = sum(map(len, pieces[end : end + _STRIDE_PIECES]))
            if begin < end and size + more > MAX_VALUE_BYTES:
                records.append(Output(None, b"".join(pieces[begin:end])))
                begin, size = end, 0
            size += more
        if begin < len(pieces):
            records.append(Output(None, b"".join(pieces[begin:])))
            self.by_topic[PRICED_USAGE.name] = records

    def _put(self, topic: Topic, key: bytes, value: bytes) -> None:
        self.by_topic.setdefault(topic.name, []).append(Output(key, value))
        self.size_bytes += len(value)
