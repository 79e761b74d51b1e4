"""What was measured and what is assumed come in; what a load takes, costs and ends at goes out. Sums alone."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.chunks import Costs

RATES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Events a second, at the peak of the day."""

SECONDS_A_DAY = 86_400
DAYS_A_MONTH = 365 / 12
GIGA = 1e9


COSTS = Costs(event=11.1, organization=40, transaction=2_500, broker_event=6.8, broker_transaction=1_000, commit=2_500)
"""The first and the fourth by the same measurements as below; organization and transaction were fitted to what
`footprint` said of processor time at 20, 2,000 and 10,000 events/s; the least time of a commit is decision 1's. What a
transaction costs the brokers is assumed."""


def _given(figure: float, what: str, source: str = "") -> Any:
    """A figure with what it is, and where it is from or how to measure it again."""
    return field(default=figure, metadata={"what": what, "source": source})


@dataclass(frozen=True, slots=True)
class Measured:
    """On one machine of two cores that ran everything; on 27 November 2026, unless another page is named."""

    ledger_per_second: float = _given(90_000, "events/s of one worker, its broker beside it", "`ledger`")
    two_workers_times: float = _given(1.24, "times as many with two workers", "`workers`")
    path_per_second: float = _given(60_000, "events/s until they are in ClickHouse, all parts side by side", "`path`")
    gate_micros: float = _given(7.9, "µs of a gate's processor time an event, in batches of 100", "`gate`")
    member_copies_per_second: float = _given(270_000, "members/s read by a gate that starts", "`gate`")
    identity_disk_bytes: float = _given(31, "bytes of disk an identity", "performance.md")
    identity_memory_bytes: float = _given(4.25, "bytes of memory an identity", "performance.md")
    identity_refills_per_second: float = _given(1_800_000, "identities/s read back", "performance.md")
    member_memory_bytes: float = _given(1_700, "bytes of a worker's memory a member", "performance.md")
    proof_rows_per_second: float = _given(100_000, "rows/s added up by `prove`", "operations.md")
    outage_seconds: float = _given(13, "s without commits after a worker was killed", "reliability.md")
    usage_bytes: float = _given(350, "bytes an event on `usage-events`", "`footprint`")
    priced_bytes: float = _given(600, "bytes an event on `priced-usage`", "`footprint`")
    entries_bytes: float = _given(320, "bytes an event on all topics that are kept for ever", "`footprint`")
    seen_bytes: float = _given(29, "bytes an event on `seen-ids`", "`footprint`")
    compacted_bytes: float = _given(750, "bytes an event on topics that are compacted", "`footprint`")
    row_bytes: float = _given(80, "bytes a row of `priced_usage` in ClickHouse", "`footprint`")
    other_row_bytes: float = _given(40, "bytes an event in its other tables", "`footprint`")


@dataclass(frozen=True, slots=True)
class Assumed:
    """Nobody measured these; put in your own. US dollars of November 2026, list prices of large clouds, rounded."""

    average_share: float = _given(1 / 3, "of the day's peak is its average")
    busy_at_most: float = _given(0.5, "of a core is busy at the peak, so that the other half can catch up")
    replicas: int = _given(3, "copies of each partition of Kafka")
    follower_share: float = _given(0.5, "of what the first copy costs a broker, each other one does")
    horizon_days: int = _given(36, "days for which identities are kept")
    kept_days: int = _given(400, "days for which Kafka keeps usage and rows")
    local_days: int = _given(7, "of them on brokers' disks, where there is tiered storage")
    members_per_rate: float = _given(100, "members make one event a second at the peak")
    worker_memory_bytes: float = _given(64e9, "bytes of memory a worker should have at most")
    core_hour_usd: float = _given(0.04, "USD a core and hour")
    memory_gb_hour_usd: float = _given(0.005, "USD a gigabyte of a worker's memory and hour")
    disk_gb_month_usd: float = _given(0.08, "USD a gigabyte of block storage and month")
    object_gb_month_usd: float = _given(0.023, "USD a gigabyte of object storage and month")
    zone_gb_usd: float = _given(0.02, "USD a gigabyte between two zones")


class CpuMicros(NamedTuple):
    """Processor time of an event, by part."""

    gate: float
    ledger: float
    broker: float
    store: float
    """Sink and ClickHouse."""


def cpu_micros(measured: Measured) -> CpuMicros:
    """Where two busy cores go.

    One worker keeps one core busy. Two workers and their broker keep two busy, and so do ledger, broker, sink and
    ClickHouse side by side; what is left of two cores is the others'. At most that: a core may have been idle.
    """
    ledger = 1e6 / measured.ledger_per_second
    with_broker = 2e6 / (measured.ledger_per_second * measured.two_workers_times)
    all_of_it = 2e6 / measured.path_per_second
    return CpuMicros(measured.gate_micros, ledger, with_broker - ledger, all_of_it - with_broker)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a peak takes: cores to be bought; bytes of full disks, of all replicas, of ClickHouse's after a year."""

    rate: float
    partitions: int
    workers: int
    sinks: int
    gate_cores: float
    ledger_cores: float
    kafka_cores: float
    store_cores: float
    worker_memory_bytes: float
    written_bytes_per_second: float
    kafka_bytes: float
    tiered_bytes: float
    tiered_disk_bytes: float
    identity_bytes: float
    clickhouse_bytes: float

    @property
    def cores(self) -> float:
        return self.gate_cores + self.ledger_cores + self.kafka_cores + self.store_cores


def plan(rate: float, measured: Measured, assumed: Assumed) -> Plan:
    """Sizes for a peak of so many events a second."""
    cpu = cpu_micros(measured)
    a_day = rate * assumed.average_share * SECONDS_A_DAY
    identities = a_day * assumed.horizon_days
    remembered = (
        rate * assumed.members_per_rate * measured.member_memory_bytes + identities * measured.identity_memory_bytes
    )

    def cores(micros: float, least: float) -> float:
        return max(least, rate * micros / 1e6 / assumed.busy_at_most)

    ledger_cores = cores(cpu.ledger, 2)
    workers = max(math.ceil(ledger_cores), math.ceil(remembered / assumed.worker_memory_bytes))
    replicated = 1 + (assumed.replicas - 1) * assumed.follower_share
    aged = measured.usage_bytes + measured.priced_bytes
    for_ever = a_day * (measured.entries_bytes * assumed.kept_days) + identities * measured.seen_bytes
    return Plan(
        rate=rate,
        partitions=max(4, 1 << math.ceil(math.log2(2 * workers))),
        workers=workers,
        sinks=max(2, math.ceil(rate / (assumed.busy_at_most * measured.path_per_second))),
        gate_cores=cores(cpu.gate, 2),
        ledger_cores=ledger_cores,
        kafka_cores=cores(cpu.broker * replicated, 2 * assumed.replicas),
        store_cores=cores(cpu.store, 4),
        worker_memory_bytes=80e6 + remembered / workers,
        written_bytes_per_second=rate * written_bytes(measured),
        kafka_bytes=assumed.replicas * (a_day * aged * assumed.kept_days + for_ever),
        tiered_bytes=a_day * aged * (assumed.kept_days - assumed.local_days),
        tiered_disk_bytes=assumed.replicas * (a_day * aged * assumed.local_days + for_ever),
        identity_bytes=identities * measured.identity_disk_bytes,
        clickhouse_bytes=a_day * 365 * (measured.row_bytes + measured.other_row_bytes),
    )


def written_bytes(measured: Measured) -> float:
    """What Kafka writes of an event, once."""
    kept = measured.usage_bytes + measured.priced_bytes + measured.entries_bytes + measured.seen_bytes
    return kept + measured.compacted_bytes


class Bill(NamedTuple):
    """US dollars a month."""

    compute: float
    zones: float
    kafka_disks: float
    tiered: float
    """Instead of Kafka's disks."""
    other_disks: float

    @property
    def total(self) -> float:
        return self.compute + self.zones + self.kafka_disks + self.other_disks

    @property
    def tiered_total(self) -> float:
        return self.total - self.kafka_disks + self.tiered


def events_a_month(rate: float, assumed: Assumed) -> float:
    return rate * assumed.average_share * SECONDS_A_DAY * DAYS_A_MONTH


def bill(sized: Plan, measured: Measured, assumed: Assumed) -> Bill:
    """What a plan costs, by the assumed prices."""
    hours = 24 * DAYS_A_MONTH
    memory = sized.workers * sized.worker_memory_bytes / GIGA
    # Each byte goes to the other zones' replicas; and it is written, and read, from another zone two times in three.
    crossings = assumed.replicas - 1 + 2 * (1 - 1 / assumed.replicas)
    crossed = written_bytes(measured) * crossings * events_a_month(sized.rate, assumed) / GIGA
    disk = assumed.disk_gb_month_usd / GIGA
    return Bill(
        compute=hours * (sized.cores * assumed.core_hour_usd + memory * assumed.memory_gb_hour_usd),
        zones=crossed * assumed.zone_gb_usd,
        kafka_disks=sized.kafka_bytes * disk,
        tiered=sized.tiered_disk_bytes * disk + sized.tiered_bytes / GIGA * assumed.object_gb_month_usd,
        other_disks=(sized.identity_bytes + sized.clickhouse_bytes) * disk,
    )


class Ends(NamedTuple):
    """What comes to its end, at which peak in events a second, why, and what is done then."""

    peak: float
    what: str
    why: str
    then: str


def ends(measured: Measured, assumed: Assumed) -> list[Ends]:
    """The first one first."""
    identities_a_rate = assumed.average_share * SECONDS_A_DAY * assumed.horizon_days
    found = (
        Ends(
            measured.proof_rows_per_second / assumed.kept_days / assumed.average_share,
            "`prove` over all that Kafka keeps, once a day",
            f"it adds up {measured.proof_rows_per_second:,.0f} rows a second, those of {assumed.kept_days} days",
            "keep `priced-usage` for fewer days: ClickHouse has the rows, and `prove` tells what Kafka let go of",
        ),
        Ends(
            2 * 16e9 / (identities_a_rate * measured.identity_memory_bytes),
            "two workers of 16 GB",
            f"an identity takes {measured.identity_memory_bytes:g} bytes of memory for {assumed.horizon_days} days",
            "more workers, or larger ones; a shorter `HORIZON_DAYS`",
        ),
        Ends(
            3_600 * measured.identity_refills_per_second * 4 / identities_a_rate,
            "four partitions, ready an hour after all workers' disks were lost",
            f"each reads back {measured.identity_refills_per_second:,.0f} identities a second",
            "more partitions; volumes that outlive workers",
        ),
        Ends(
            measured.path_per_second * assumed.busy_at_most,
            "one sink",
            "by the path that was measured, half busy",
            "more sinks, up to one a partition",
        ),
        Ends(
            measured.ledger_per_second * assumed.busy_at_most,
            "one worker; and any one organisation",
            "what concerns an organisation is done in order, by one core",
            "more workers. For the organisation nothing: its usage waits at the peak, and is charged later",
        ),
        Ends(
            60 * measured.member_copies_per_second / assumed.members_per_rate,
            "a gate ready a minute after it starts",
            f"it reads {measured.member_copies_per_second:,.0f} members' status a second, those of all organisations",
            "start the new gates before the old ones end; there is no gate for a part of the organisations",
        ),
    )
    return sorted(found)
