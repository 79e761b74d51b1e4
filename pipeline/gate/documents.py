"""Routes, topics and models come in; docs/openapi.json and docs/asyncapi.json go out.

`python -m pipeline.gate.documents` writes them; a test says when they are no longer what the code says.
"""

import json
from pathlib import Path
from typing import Any

from pipeline.gate.app import gate_api
from pipeline.topics import TOPICS, Topic

DOCS = Path(__file__).parents[2] / "docs"
_INSIDE = {"ledger-state", "ledger-journal", "seen-ids", "log-id"}
"""What the ledger writes for itself; nobody else reads it."""

_SCHEMAS = {
    "usage-events": ("usage-event", "usage-cloud-event"),
    "account-commands": ("command",),
    "priced-usage": ("priced-usage",),
    "limit-breaches": ("limit.breached", "limit.resumed", "credits.paused", "credits.resumed"),
    "account-events": ("command.applied", "command.refused", "command.repeated"),
    "ledger-entries": ("ledger.entry",),
    "invoices": (
        "invoice.drafted",
        "invoice.finalized",
        "invoice.continued",
        "credit_note.issued",
        "payment.received",
        "statement.issued",
    ),
    "reload-requests": ("reload.requested", "purchase.requested"),
    "notifications": ("threshold.reached", "balance.low", "auto_reload.suspended", "requests.digest"),
    "credit-status": ("status.org", "status.tier", "status.member", "status.clock"),
    "member-contacts": ("member-contact",),
    "mails": ("mail",),
    "dead-letters": ("dead-letter",),
    "dead-letter-decisions": ("dead-letter-decision",),
}
"""What lies in each topic, by the names of docs/schemas."""


def openapi() -> dict[str, Any]:
    """The gate over HTTP."""
    return gate_api().openapi()


def asyncapi() -> dict[str, Any]:
    """The topics, in AsyncAPI 3."""
    outside = [topic for topic in TOPICS if topic.name not in _INSIDE]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "usage-credits",
            "version": openapi()["info"]["version"],
            "description": (
                "Topics on Kafka. Read what the ledger writes with isolation.level=read_committed. All that it writes "
                "about one organisation lies in one partition, in order."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in outside},
        "operations": {_operation(topic): _described(topic) for topic in outside},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    kept = "the latest of each key" if topic.compacted else f"{topic.kept_days} days" if topic.kept_days else "for ever"
    return {
        "address": topic.name,
        "description": f"{topic.value}. Kept: {kept}. Written by {topic.writers}; read by {topic.readers}.",
        "messages": {
            name.replace(".", "_"): {
                "name": name,
                "contentType": "application/json",
                "payload": {
                    "schemaFormat": "application/schema+json;version=draft-07",
                    "schema": {"$ref": f"./schemas/{name}.json"},
                },
                "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}}},
            }
            for name in _SCHEMAS[topic.name]
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "topicConfiguration": {"cleanup.policy": ["compact" if topic.compacted else "delete"]},
            }
        },
    }


def _is_input(topic: Topic) -> bool:
    return "ledger" in topic.readers.split(", ")


def _operation(topic: Topic) -> str:
    return ("receive-" if _is_input(topic) else "send-") + topic.name


def _described(topic: Topic) -> dict[str, Any]:
    return {
        "action": "receive" if _is_input(topic) else "send",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": f"{'Read' if _is_input(topic) else 'Written'} by us: {topic.value}",
    }


def written() -> dict[Path, str]:
    """Each document and its text."""
    documents = {DOCS / "openapi.json": openapi(), DOCS / "asyncapi.json": asyncapi()}
    return {path: json.dumps(document, indent=1, ensure_ascii=False) + "\n" for path, document in documents.items()}


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text)
