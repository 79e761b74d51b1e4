"""Usage events: JSON objects as products send them in, one strict model out.

Two wire forms (R14a): a CloudEvent (an object with `specversion`) or the bare event. Source: docs/rules.md R8-R17.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError, ValidationInfo, field_validator

from schemas.base import Identifier, Model, OptionalIdentifier
from schemas.instants import Instant, format_instant
from schemas.money import Searches, Tokens

USAGE_TYPE = "usage-credits.usage.v1"
TOKEN_KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
NULL_IS_DEFAULT = ("processing", "speed", "inference_geo")
OR_NULL: dict[str, JsonValue] = {"type": ["string", "null"]}
NO_GEO_FACTOR = frozenset({"", "not_available", "global"})

Funding = Literal["included", "credits"]

ON_THE_WIRE = "on the wire"
"""The context in which an event is read as others wrote it: numbers are no instants, and names are wire names."""


class Billing(Model):
    """What decides the price of a request, whom it is charged to, and when it happened."""

    user_id: Identifier
    product: Identifier
    model: Identifier
    occurred_at_micros: Instant = Field(alias="occurred_at")
    funding: Funding
    input_tokens: Tokens = Field(default=0, description="uncached input only")
    output_tokens: Tokens = 0
    cache_read_tokens: Tokens = 0
    cache_write_5m_tokens: Tokens = 0
    cache_write_1h_tokens: Tokens = 0
    web_search_requests: Searches = 0
    processing: Identifier = Field(
        default="standard", description="standard | batch; null is standard", json_schema_extra=OR_NULL
    )
    speed: Identifier = Field(
        default="standard", description="standard | fast; null is standard", json_schema_extra=OR_NULL
    )
    inference_geo: OptionalIdentifier = Field(
        default="", description="us; null, not_available and global are none", json_schema_extra=OR_NULL
    )

    @field_validator("occurred_at_micros", mode="before")
    @classmethod
    def _is_text_on_the_wire(cls, value: object, field: ValidationInfo) -> object:
        if field.context == ON_THE_WIRE and not isinstance(value, str):
            raise ValueError("an instant is RFC 3339 text")
        return value

    @field_validator(*NULL_IS_DEFAULT, mode="before")
    @classmethod
    def _null_is_the_default(cls, value: object, field: ValidationInfo) -> object:
        return cls.model_fields[field.field_name or ""].default if value is None else value

    @field_validator("inference_geo", mode="before")
    @classmethod
    def _no_factor_is_empty(cls, value: object) -> object:
        return "" if isinstance(value, str) and value in NO_GEO_FACTOR else value


class Correction(Model):
    """Which event a correction replaces, and what that event said (R15)."""

    event_id: Identifier
    original: Billing


class UsageEvent(Billing):
    """One request's usage. Identity: (org_id, source, event_id) (R14)."""

    org_id: Identifier
    event_id: Identifier
    source: OptionalIdentifier = ""
    corrects: Correction | None = None


class InvalidEvent(ValueError):
    """The object is no usage event; `problems` are (field, kind, message), pydantic's own."""

    def __init__(self, problems: list[tuple[str, str, str]]) -> None:
        super().__init__("; ".join(f"{where or 'event'}: {message}" for where, _, message in problems))
        self.problems = problems


def read_event(wire: Mapping[str, Any]) -> UsageEvent:
    """The event of one decoded JSON object, in either wire form.

    Raises:
        InvalidEvent: with every problem found.
    """
    try:
        bare = _bare(wire) if "specversion" in wire else wire
        return UsageEvent.model_validate(bare, by_alias=True, by_name=False, context=ON_THE_WIRE)
    except ValidationError as error:
        raise InvalidEvent(
            [(".".join(map(str, e["loc"])), e["type"], e["msg"]) for e in error.errors(include_url=False)]
        ) from None


def cloud_event(event: UsageEvent) -> dict[str, Any]:
    """The event as a CloudEvent in structured mode; read_event gives it back. Its source must not be empty."""
    data = event.model_dump(exclude_defaults=True)
    for name in ("event_id", "source", "occurred_at"):
        data.pop(name, None)
    return {
        "specversion": "1.0",
        "type": USAGE_TYPE,
        "id": event.event_id,
        "source": event.source,
        "time": format_instant(event.occurred_at_micros),
        "datacontenttype": "application/json",
        "data": data,
    }


def _bare(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """The bare form of a CloudEvent; attributes that carry nothing of the event are dropped (R14a)."""
    problems: list[tuple[str, str, str]] = []
    if envelope["specversion"] != "1.0":
        problems.append(("specversion", "literal_error", "Input should be '1.0'"))
    if envelope.get("type") != USAGE_TYPE:
        problems.append(("type", "literal_error", f"Input should be '{USAGE_TYPE}'"))
    content_type = envelope.get("datacontenttype", "application/json")
    if not isinstance(content_type, str) or content_type.split(";")[0].strip() != "application/json":
        problems.append(("datacontenttype", "literal_error", "Input should be 'application/json'"))
    data = envelope.get("data")
    if not isinstance(data, Mapping):
        problems.append(("data", "model_type", "Input should be an object"))
        data = {}
    for name, attribute in (("event_id", "id"), ("source", "source"), ("occurred_at", "time")):
        if name in data:
            problems.append((f"data.{name}", "extra_forbidden", f"Belongs to the envelope, as '{attribute}'"))
        if attribute not in envelope:
            problems.append((attribute, "missing", "Field required"))
    if not envelope.get("source", "?"):
        problems.append(("source", "string_too_short", "A CloudEvent's source is not empty"))
    if problems:
        raise InvalidEvent(problems)
    return {
        **data,
        "event_id": envelope["id"],
        "source": envelope["source"],
        "occurred_at": envelope["time"],
    }
