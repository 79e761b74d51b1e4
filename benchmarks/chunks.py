"""A worker's load comes in; how its chunks, transactions and latencies turn out comes out: a simulation of its loops.

A partition's loop takes what arrived, computes on the worker's one core, commits, and takes what arrived meanwhile; so
a busy worker makes large chunks, and nothing is tuned. Partitions of a worker share the core, each commits alone. The
brokers' work for a transaction is a second core. Source: docs/decisions/0001-chunks-and-transactions.md.
"""

import heapq
import math
import random
from dataclasses import dataclass
from typing import NamedTuple

MAX_RECORDS = 5_000
"""Of one chunk (pipeline/engine/settings.py)."""

_SHARES = (0.125, 0.375, 0.625, 0.875)
"""Where in a chunk's span the events lie whose latency is looked at, each for a quarter of them."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What work costs, in microseconds.

    Attributes:
        event, transaction: of the worker's core.
        organization: of the worker's core for each different organisation in a chunk: its cells, and what it is billed.
        broker_event, broker_transaction: of the brokers' core.
        commit: the least that passes between a chunk's end and the next one's beginning.
    """

    event: float
    organization: float
    transaction: float
    broker_event: float
    broker_transaction: float
    commit: float


class Simulated(NamedTuple):
    """Of one run; latency is from arrival to committed."""

    events_a_transaction: float
    transactions_a_second: float
    cores: float
    p50_ms: float
    p99_ms: float


def simulate(
    rate: float, partitions: int, costs: Costs, seconds: float, *, organizations: int = 1_000, seed: int = 1
) -> Simulated:
    """One worker with so many partitions and so many events a second, of organisations that are all as busy."""
    here = organizations / partitions
    chance = random.Random(seed)
    rate_a_partition = rate / partitions
    cut = [0.0] * partitions  # up to when what arrived is taken
    loops = [(0.0, partition) for partition in range(partitions)]
    worker_free = broker_free = busy = 0.0
    transactions = events = 0
    latencies: list[tuple[float, float]] = []
    while loops:
        now, partition = heapq.heappop(loops)
        if now >= seconds:
            continue
        since = cut[partition]
        arrived = (since == now) + _poisson(chance, rate_a_partition * (now - since))
        if not arrived:  # it waits for the next one
            cut[partition] = now + chance.expovariate(rate_a_partition)
            heapq.heappush(loops, (cut[partition], partition))
            continue
        taken = min(arrived, MAX_RECORDS)
        upto = since + (now - since) * taken / arrived
        cut[partition] = upto
        different = here * -math.expm1(-taken / here)
        work = (taken * costs.event + different * costs.organization + costs.transaction) / 1e6
        worker_free = max(now, worker_free) + work
        busy += work
        broker_free = max(worker_free, broker_free) + (taken * costs.broker_event + costs.broker_transaction) / 1e6
        done = max(worker_free + costs.commit / 1e6, broker_free)
        heapq.heappush(loops, (done, partition))
        transactions += 1
        events += taken
        latencies += [(done - since - share * (upto - since), taken / len(_SHARES)) for share in _SHARES]
    latencies.sort()
    return Simulated(
        events / transactions,
        transactions / seconds,
        min(1.0, busy / seconds),
        _weighted(latencies, 0.5) * 1e3,
        _weighted(latencies, 0.99) * 1e3,
    )


def _poisson(chance: random.Random, mean: float) -> int:
    """By Knuth where it is small, else by the normal distribution that it then nearly is."""
    if mean > 30:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


def _weighted(ordered: list[tuple[float, float]], share: float) -> float:
    """The value below which so much of the weight lies."""
    left = share * sum(weight for _, weight in ordered)
    for value, weight in ordered:
        left -= weight
        if left <= 0:
            return value
    return math.nan
