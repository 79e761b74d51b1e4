"""LiteLLM's spend logs: rows of LiteLLM_SpendLogs, as its API or its database exports them, in; readings out.

`prompt_tokens` counts cached tokens, ours do not. Rows that LiteLLM answered from its own cache requested nothing.
Format: https://docs.litellm.ai/docs/proxy/cost_tracking, and schema.prisma of litellm 1.83.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from pipeline.importers.readings import Format, NoUsage, Reading, each, instant, records, uncached

SOURCE = "litellm"


def read(file: BinaryIO) -> Iterator[Reading | NoUsage]:
    """The rows of an array, of `data` in an answer of /spend/logs/v2, or one a line."""
    return each(records(file, "data"), _readings, "no row of spend logs")


LITELLM = Format("*.json*", read)


def _readings(row: dict[str, Any]) -> Iterator[Reading]:
    if str(row.get("cache_hit", "")).lower() == "true":
        raise NoUsage("answered from LiteLLM's own cache: nothing was requested")
    if not row.get("prompt_tokens") and not row.get("completion_tokens"):
        raise NoUsage("no tokens: a request that failed")
    metadata = row.get("metadata") or {}
    if isinstance(metadata, str):  # as Postgres exports JSON
        metadata = json.loads(metadata)
    usage = (metadata.get("usage_object") or {}) | (metadata.get("additional_usage_values") or {})
    details = usage.get("prompt_tokens_details") or {}
    read_tokens = usage.get("cache_read_input_tokens") or details.get("cached_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or details.get("cache_creation_tokens") or 0
    hour = (details.get("cache_creation_token_details") or {}).get("ephemeral_1h_input_tokens") or 0
    yield {
        "event_id": row["request_id"],
        "source": SOURCE,
        "org_id": metadata.get("user_api_key_org_id") or row.get("organization_id") or None,
        "user_id": metadata.get("user_api_key_user_id") or row.get("user") or row.get("end_user") or None,
        "model": row["model"],
        "occurred_at_micros": instant(row["startTime"]),
        "input_tokens": uncached(row["prompt_tokens"], read_tokens, written),
        "output_tokens": row["completion_tokens"],
        "cache_read_tokens": read_tokens,
        "cache_write_5m_tokens": written - hour,
        "cache_write_1h_tokens": hour,
        "web_search_requests": (usage.get("server_tool_use") or {}).get("web_search_requests") or 0,
    }
