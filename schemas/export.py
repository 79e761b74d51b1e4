"""JSON Schemas of every wire model, for those who read or write our topics: models in, `docs/schemas/*.json` out.

`python -m schemas.export` writes them; a test holds the files to the models.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.commands import COMMANDS
from schemas.contacts import Contact
from schemas.dead_letters import DeadLetter, DeadLetterDecision
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    CreditsPaused,
    CreditsResumed,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
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
from schemas.mails import MailOutcome
from schemas.notifications import AutoReloadSuspended, BalanceLow, RequestsDigest, ThresholdReached
from schemas.priced import PricedUsage
from schemas.status import STATUS_RECORDS
from schemas.usage import USAGE_TYPE, UsageEvent

DIRECTORY = Path(__file__).parents[1] / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

MODELS: dict[str, type[BaseModel]] = {
    "usage-event": UsageEvent,
    "priced-usage": PricedUsage,
    "dead-letter": DeadLetter,
    "dead-letter-decision": DeadLetterDecision,
    "member-contact": Contact,
    "mail": MailOutcome,
    **{f"status.{kind}": model for kind, model in STATUS_RECORDS.items()},
}
"""What lies in a topic as it is, by the name of its schema."""

EVENTS: tuple[type[LedgerEvent], ...] = (
    LimitBreached,
    LimitResumed,
    CreditsPaused,
    CreditsResumed,
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    ThresholdReached,
    BalanceLow,
    AutoReloadSuspended,
    RequestsDigest,
    LedgerEntry,
    ReloadRequested,
    PurchaseRequested,
    InvoiceDrafted,
    InvoiceFinalized,
    InvoiceContinued,
    CreditNoteIssued,
    PaymentReceived,
    StatementIssued,
)
"""What lies in a topic as a CloudEvent; its schema is named like its type."""

Schema = dict[str, Any]

_IN_THE_ENVELOPE = {"event_id": "id", "source": "source", "occurred_at": "time"}


def schemas() -> dict[str, Schema]:
    """File name → schema."""
    return {
        **{f"{name}.json": _of(model) for name, model in MODELS.items()},
        "usage-cloud-event.json": usage_cloud_event(),
        "command.json": {"$schema": DIALECT, "title": "Command"} | COMMANDS.json_schema(),
        **{f"{event.TYPE.removeprefix('usage-credits.')}.json": published(event) for event in EVENTS},
    }


def usage_cloud_event() -> Schema:
    """A usage event as a CloudEvent in structured mode: three of its fields are the envelope's (R14a)."""
    bare = _of(UsageEvent)
    definitions = bare.pop("$defs")
    fields = bare["properties"]
    # A source may be empty in the bare form alone.
    source = {**fields.pop("source"), "minLength": 1}
    source.pop("default")
    attributes = {"source": source, "id": fields.pop("event_id"), "time": fields.pop("occurred_at")}
    return {
        "$schema": DIALECT,
        "title": "UsageEvent as a CloudEvent",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "type": {"const": USAGE_TYPE},
            **attributes,
            "datacontenttype": {"type": "string", "pattern": "^application/json *(;.*)?$"},
            "data": {
                "type": "object",
                "additionalProperties": False,
                "properties": fields,
                "required": [name for name in bare["required"] if name not in _IN_THE_ENVELOPE],
            },
        },
        "required": ["specversion", "type", "id", "source", "time", "data"],
        "additionalProperties": True,
        "$defs": definitions,
    }


def published(event: type[LedgerEvent]) -> Schema:
    """One of the ledger's own events, in its envelope."""
    data = _of(event)
    definitions = data.pop("$defs", {})
    for name in ("$schema", "title"):
        data.pop(name)
    return {
        "$schema": DIALECT,
        "title": event.__name__,
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "type": {"const": event.TYPE},
            "id": {"type": "string", "description": "the same for the same event, however often it is read"},
            "source": {"const": "usage-credits"},
            "subject": {"type": "string", "description": "org_id"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "data": data,
        },
        "required": ["specversion", "type", "id", "source", "subject", "time", "datacontenttype", "data"],
        "additionalProperties": False,
    } | ({"$defs": definitions} if definitions else {})


def text_of(schema: Schema) -> str:
    """As it lies in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _of(model: type[BaseModel]) -> Schema:
    return {"$schema": DIALECT} | model.model_json_schema()


def main() -> None:
    """Write every file."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (DIRECTORY / name).write_text(text_of(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
