"""Which partition a key belongs to: Kafka's own answer, murmur2 (R43)."""

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """(murmur2(key) & 0x7fffffff) mod N, as Kafka's Java clients place a record; remembered, since asked often."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
