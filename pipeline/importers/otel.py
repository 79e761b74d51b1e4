"""OpenTelemetry's GenAI spans: OTLP as JSON, as a collector's file exporter writes it, in; readings out.

`gen_ai.usage.input_tokens` counts tokens read from and written to a cache, ours do not. Only requests to a model are
read: spans of agents and tools around them may repeat their sums. A cache write is taken for one of 5 minutes, since
spans do not say. The spans of one resource are held at a time. Format: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from pipeline.importers.readings import Format, NoUsage, Reading, each, records, uncached

SOURCE = "opentelemetry"
_FOREVER_MICROS = 2**62
_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
_CACHE_WRITTEN = "gen_ai.usage.cache_creation.input_tokens"
REQUESTS = ("chat", "text_completion", "generate_content")


def read(file: BinaryIO) -> Iterator[Reading | NoUsage]:
    """The spans of one export, or of one a line."""
    spans = each(records(file, "resourceSpans"), _spans, "no spans of a resource")
    return each(spans, _readings, "no GenAI span")


OTEL = Format("*.json*", read)


def _spans(resource: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each span, with what is said of all."""
    about = _attributes(resource.get("resource") or {})
    for scope in resource["scopeSpans"]:
        for span in scope.get("spans", ()):
            yield span, about


def _readings(one: tuple[dict[str, Any], dict[str, Any]]) -> Iterator[Reading]:
    span, about = one
    said = about | _attributes(span)
    operation = said.get("gen_ai.operation.name")
    if operation not in REQUESTS:
        raise NoUsage(f"no request to a model: gen_ai.operation.name is {operation}")
    if "gen_ai.usage.input_tokens" not in said and "gen_ai.usage.output_tokens" not in said:
        raise NoUsage("no usage: a request that failed")
    if _CACHE_READ not in said and _CACHE_WRITTEN not in said:
        _refuse_other_names(said)
    read_tokens, written = said.get(_CACHE_READ, 0), said.get(_CACHE_WRITTEN, 0)
    occurred_at_micros = int(span["startTimeUnixNano"]) // 1_000
    if not 0 < occurred_at_micros < _FOREVER_MICROS:
        raise NoUsage("no time of its own")
    yield {
        "event_id": f"{span['traceId']}:{span['spanId']}",
        "source": SOURCE,
        "user_id": said.get("user.id") or said.get("enduser.id"),
        "product": said.get("service.name"),
        "model": said.get("gen_ai.response.model") or said["gen_ai.request.model"],
        "occurred_at_micros": occurred_at_micros,
        "input_tokens": uncached(said.get("gen_ai.usage.input_tokens", 0), read_tokens, written),
        "output_tokens": said.get("gen_ai.usage.output_tokens", 0),
        "cache_read_tokens": read_tokens,
        "cache_write_5m_tokens": written,
    }


def _refuse_other_names(said: dict[str, Any]) -> None:
    """Instrumentations older than the conventions call cached tokens otherwise; some add them to input, some do not."""
    for name, value in said.items():
        if name.startswith("gen_ai.usage.") and "cache" in name and value:
            raise NoUsage(
                f"{name} may or may not be counted among input tokens; have the collector write {_CACHE_READ} and "
                f"{_CACHE_WRITTEN}, which are"
            )


def _attributes(thing: dict[str, Any]) -> dict[str, Any]:
    """OTLP writes 64-bit integers as text."""
    found: dict[str, Any] = {}
    for attribute in thing.get("attributes", ()):
        value = attribute["value"]
        found[attribute["key"]] = int(value["intValue"]) if "intValue" in value else next(iter(value.values()), None)
    return found
