"""Where a record goes: the partitioner of our producer against Kafka's own numbers (R43)."""

import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2

from pipeline.engine.partitioning import partition_of

# org.apache.kafka.common.utils.UtilsTest.testMurmur2, as signed 32-bit integers.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), JAVA.items())
def test_murmur2_is_kafkas(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed % 2**32


@pytest.mark.parametrize("partitions", [1, 3, 4, 16])
@pytest.mark.parametrize("key", [*JAVA, "zürich".encode()])
def test_a_keyed_record_goes_where_the_ledger_expects_it(key: bytes, partitions: int) -> None:
    everywhere = list(range(partitions))
    expected = (murmur2(key) & 0x7FFFFFFF) % partitions
    assert DefaultPartitioner()(key, everywhere, everywhere) == expected
    assert partition_of(key, partitions) == expected
