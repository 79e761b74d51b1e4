"""Rows of `priced-usage`: what was charged comes in, one line of JSON goes out, as schemas.priced.PricedUsage reads it.

Written by hand because every event pays for it: text that comes again (a member, a price id) is encoded once, fields
that equal their default are left out. Source: docs/rules.md R12, R13, R42.
"""

from functools import lru_cache
from json import dumps

from pipeline.domain.compiled import Usage
from pipeline.domain.pricing import Rates
from pipeline.domain.state import Member
from schemas.instants import format_instant

_quoted = lru_cache(maxsize=65_536)(dumps)
_instant = lru_cache(maxsize=65_536)(format_instant)


def priced_row(
    usage: Usage,
    org_seq: int,
    member: Member,
    rates: Rates,
    parts: tuple[int, int, int, int, int, int],
    cost_picousd: int,
    arrived_at_micros: int,
    usage_month: str,
    charge_month: str,
    after_pause: bool,
    partition: int,
    offset: int,
    index: int,
    origin: tuple[str, int, int, int] | None,
) -> str:
    """One row, without a line break; `parts` in the order of pricing.CostParts."""
    event_id = usage.event_id
    event_id = f'"{event_id}"' if '"' not in event_id and "\\" not in event_id else dumps(event_id)
    row = (
        f'{{{member.in_rows or _member(member)},"org_seq":{org_seq},"event_id":{event_id}'
        f"{_what(usage.source, usage.product, rates.model, rates.price_id, usage.funding, usage_month, charge_month)}"
        f',"occurred_at":"{format_instant(usage.occurred_at_micros)}","arrived_at":"{_instant(arrived_at_micros)}"'
        f',"cost_picousd":"{cost_picousd}","input_partition":{partition},"input_offset":{offset}'
    )
    if index:
        row += f',"input_index":{index}'
    inputs, outputs, reads, writes_5m, writes_1h, searches = parts
    if usage.input_tokens:
        row += f',"input_tokens":{usage.input_tokens},"input_picousd":"{inputs}"'
    if usage.output_tokens:
        row += f',"output_tokens":{usage.output_tokens},"output_picousd":"{outputs}"'
    if usage.cache_read_tokens:
        row += f',"cache_read_tokens":{usage.cache_read_tokens},"cache_read_picousd":"{reads}"'
    if usage.cache_write_5m_tokens:
        row += f',"cache_write_5m_tokens":{usage.cache_write_5m_tokens},"cache_write_5m_picousd":"{writes_5m}"'
    if usage.cache_write_1h_tokens:
        row += f',"cache_write_1h_tokens":{usage.cache_write_1h_tokens},"cache_write_1h_picousd":"{writes_1h}"'
    if usage.web_search_requests:
        row += f',"web_search_requests":{usage.web_search_requests},"web_search_picousd":"{searches}"'
    if after_pause:
        row += ',"after_pause":true'
    if usage.processing != "standard":
        row += f',"processing":{_quoted(usage.processing)}'
    if usage.speed != "standard":
        row += f',"speed":{_quoted(usage.speed)}'
    if usage.inference_geo:
        row += f',"inference_geo":{_quoted(usage.inference_geo)}'
    if origin is not None:
        row += (
            f',"origin_topic":{_quoted(origin[0])},"origin_partition":{origin[1]}'
            f',"origin_offset":{origin[2]},"origin_index":{origin[3]}'
        )
    return row + "}"


@lru_cache(maxsize=65_536)
def _what(
    source: str, product: str, model: str, price_id: str, funding: str, usage_month: str, charge_month: str
) -> str:
    """What the rows of one product and price have in common."""
    return (
        f',"source":{dumps(source)},"product":{dumps(product)},"model":{dumps(model)},"price_id":{dumps(price_id)}'
        f',"funding":"{funding}","usage_month":"{usage_month}","charge_month":"{charge_month}"'
    )


def _member(member: Member) -> str:
    """What a member's rows have in common; to be forgotten when their seat changes."""
    member.in_rows = (
        f'"org_id":{dumps(member.org_id)},"user_id":{dumps(member.user_id)},"seat_tier":"{member.seat_tier}"'
    )
    return member.in_rows
