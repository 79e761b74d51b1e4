"""Rows of `priced-usage`: what was charged comes in, one line of JSON goes out, as schemas.priced.PricedUsage reads it.

A row is the event's own payload with what the ledger adds to it. Written by hand because every event pays for it:
what comes again (a price, a pair of months) is text already, and fields that equal their default are left out.
Source: docs/rules.md R12, R13, R42.
"""

from functools import lru_cache

from schemas.base import quoted

Origin = tuple[str, int, int, int]
"""Where an event first lay, if that is not where it is processed: topic, partition, offset, index (R43)."""


@lru_cache(maxsize=4_096)
def common_part(usage_month: str, charge_month: str, seat_tier: str, partition: int) -> str:
    """What the rows of one tier, month and partition have in common."""
    return (
        f',"usage_month":"{usage_month}","charge_month":"{charge_month}","seat_tier":"{seat_tier}"'
        f',"input_partition":{partition}'
    )


def rare_part(index: int, after_pause: bool, origin: Origin | None) -> str:
    """What few rows have."""
    part = ""
    if index:
        part += f',"input_index":{index}'
    if after_pause:
        part += ',"after_pause":true'
    if origin is not None:
        part += (
            f',"origin_topic":{quoted(origin[0])},"origin_partition":{origin[1]}'
            f',"origin_offset":{origin[2]},"origin_index":{origin[3]}'
        )
    return part
