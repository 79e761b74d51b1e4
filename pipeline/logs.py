"""Log lines: what happened, with its fields, comes in; a line for people, or JSON for programs (LOG_FORMAT), goes out.

    log.info("command answered", extra=fields(command_id="c-1", answer="applied"))

Every line of one HTTP request has its `request_id`. From there a command's `command_id` leads on: it stands in lines of
the gate and of the ledger, in account-events, and in ClickHouse (docs/operations.md, "Follow a request").
"""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the HTTP request that is being answered, if one is."""


def fields(**said: Any) -> dict[str, Any]:
    """What a line says in fields; for logging's `extra`."""
    return {"fields": said}


def set_up_logs(form: Literal["text", "json"]) -> None:
    """Everything of level INFO and above goes to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if form == "json" else _Text("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        found = (f" {name}={value}" for name, value in _fields_of(record).items() if value is not None)
        return super().formatMessage(record) + "".join(found)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    request_id = REQUEST_ID.get()
    said: dict[str, Any] = getattr(record, "fields", {})
    return said if request_id is None else {"request_id": request_id, **said}
