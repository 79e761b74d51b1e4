"""The one table of topics: name, what lies in it, how long it is kept, who writes and who reads.

Topics are created from this table, all with the same number of partitions, since everything about one organisation
happens in one partition (R43). Source: docs/architecture.md; docs/rules.md R43, R44.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DAY_MILLIS = 86_400_000
HORIZON_DAYS = 35

Mode = Literal["live", "replay"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table; `settings` are Kafka's own names.

    One that `outlives_horizon` keeps its records, or where it is compacted its tombstones, for HORIZON_DAYS and a day.
    """

    name: str
    key: str
    value: str
    writers: str
    readers: str
    compacted: bool = False
    kept_days: int | None = None  # None: for ever
    settings: Mapping[str, str] = field(default_factory=dict)
    outlives_horizon: bool = False

    def config(self, mode: Mode, horizon_days: int = HORIZON_DAYS) -> dict[str, str]:
        """Kafka's settings of this topic; in replay mode records bear old times, so nothing goes by age (R44)."""
        kept_days = self.kept_days if mode == "live" else None
        if kept_days and self.outlives_horizon:
            kept_days = horizon_days + 1
        config = {"cleanup.policy": "delete" if not self.compacted else "compact,delete" if kept_days else "compact"}
        if kept_days or not self.compacted:
            config["retention.ms"] = str(kept_days * DAY_MILLIS) if kept_days else "-1"
        # Arrival is the broker's clock when live, the producer's in replay mode (R44).
        is_input = self in INPUTS
        config["message.timestamp.type"] = "LogAppendTime" if mode == "live" else "CreateTime"
        if mode == "replay" and is_input:
            config["message.timestamp.after.max.ms"] = str(2**63 - 1)
            config["message.timestamp.before.max.ms"] = str(2**63 - 1)
        config |= self.settings
        if self.compacted and self.outlives_horizon:
            config["delete.retention.ms"] = str((horizon_days + 1) * DAY_MILLIS)
        return config


# A closed segment is the smallest thing Kafka compacts: small ones keep a restore short.
_COMPACTED = {
    "segment.bytes": str(64 << 20),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "1800000",
    "delete.retention.ms": str(7 * DAY_MILLIS),
}
# The ledger, not the broker, judges what is too large (R17). Whatever codec a producer chose, the broker undoes it:
# aiokafka reads but one of the four without another package, and a batch it cannot read would stop the partition.
_INPUT = {"max.message.bytes": "2000000", "compression.type": "uncompressed"}

USAGE_EVENTS = Topic(
    "usage-events",
    "org_id (UTF-8)",
    "UsageEvent, a CloudEvent or bare, one or an array",
    "products, gate, ledger, redrive",
    "ledger, redrive",
    kept_days=400,
    settings=_INPUT,
)
ACCOUNT_COMMANDS = Topic(
    "account-commands",
    "org_id (UTF-8)",
    "Command",
    "gate, ledger, redrive",
    "ledger, redrive",
    kept_days=None,
    settings=_INPUT,
)
PRICED_USAGE = Topic(
    "priced-usage", "none", "PricedUsage, JSON lines, one record per chunk", "ledger", "sink, analysts", kept_days=400
)
LIMIT_BREACHES = Topic(
    "limit-breaches",
    "org_id",
    "LimitBreached, LimitResumed, CreditsPaused, CreditsResumed",
    "ledger",
    "billing, mailer, products, sink",
    kept_days=None,
)
ACCOUNT_EVENTS = Topic(
    "account-events",
    "org_id",
    "CommandApplied, CommandRefused, CommandRepeated",
    "ledger",
    "gate, sink",
    kept_days=None,
)
LEDGER_ENTRIES = Topic("ledger-entries", "org_id", "LedgerEntry", "ledger", "billing, sink", kept_days=None)
INVOICES = Topic(
    "invoices",
    "org_id",
    "InvoiceDrafted, InvoiceFinalized, InvoiceContinued, CreditNoteIssued, PaymentReceived, StatementIssued",
    "ledger",
    "billing, sink",
    kept_days=None,
)
RELOAD_REQUESTS = Topic(
    "reload-requests", "org_id", "ReloadRequested, PurchaseRequested", "ledger", "billing", kept_days=400
)
NOTIFICATIONS = Topic(
    "notifications",
    "org_id",
    "ThresholdReached, BalanceLow, AutoReloadSuspended, RequestsDigest",
    "ledger",
    "mailer",
    kept_days=400,
)
CREDIT_STATUS = Topic(
    "credit-status",
    "kind and identity, as JSON",
    "OrganizationStatus, TierStatus, MemberStatus, ClockStatus",
    "ledger",
    "gate, mailer, products, sink",
    compacted=True,
    settings=_COMPACTED,
)
# A tombstone says when it erased: a change that was sent before, and is sent again, writes nothing any more (R37a).
MEMBER_CONTACTS = Topic(
    "member-contacts",
    "org_id and user_id, as JSON",
    "Contact",
    "gate",
    "gate, mailer",
    compacted=True,
    settings=_COMPACTED,
    outlives_horizon=True,
)
# Kept for longer than the oldest notice that is still mailed (MAIL_HOURS).
MAILS = Topic("mails", "mail_id", "MailOutcome", "mailer", "mailer", kept_days=HORIZON_DAYS)
DEAD_LETTERS = Topic("dead-letters", "dead_letter_id", "DeadLetter", "ledger", "redrive, sink", kept_days=400)
# Kept for longer than any dead letter: Kafka lets go of those segment by segment, up to a week later than it might.
DEAD_LETTER_DECISIONS = Topic(
    "dead-letter-decisions",
    "dead_letter_id",
    "DeadLetterDecision",
    "redrive",
    "redrive, sink",
    compacted=True,
    kept_days=430,
    settings=_COMPACTED,
)
LEDGER_STATE = Topic(
    "ledger-state", "cell", "the cell as JSON", "ledger", "ledger", compacted=True, settings=_COMPACTED
)
LEDGER_JOURNAL = Topic(
    "ledger-journal", "none", "one transaction: ranges, time, versions", "ledger", "ledger, rebuild, prove"
)
SEEN_IDS = Topic(
    "seen-ids",
    "none",
    "identities, packed",
    "ledger",
    "ledger",
    kept_days=HORIZON_DAYS + 1,
    outlives_horizon=True,
)
LOG_ID = Topic("log-id", "the log's id", "the log's id, text", "usage-credits topics", "sink", compacted=True)

INPUTS = (USAGE_EVENTS, ACCOUNT_COMMANDS)
LEDGER_OUTPUTS = (
    PRICED_USAGE,
    LIMIT_BREACHES,
    ACCOUNT_EVENTS,
    LEDGER_ENTRIES,
    INVOICES,
    RELOAD_REQUESTS,
    NOTIFICATIONS,
    CREDIT_STATUS,
    DEAD_LETTERS,
)
TOPICS = (
    USAGE_EVENTS,
    ACCOUNT_COMMANDS,
    PRICED_USAGE,
    LIMIT_BREACHES,
    ACCOUNT_EVENTS,
    LEDGER_ENTRIES,
    INVOICES,
    RELOAD_REQUESTS,
    NOTIFICATIONS,
    CREDIT_STATUS,
    MEMBER_CONTACTS,
    MAILS,
    DEAD_LETTERS,
    DEAD_LETTER_DECISIONS,
    LEDGER_STATE,
    LEDGER_JOURNAL,
    SEEN_IDS,
    LOG_ID,
)
