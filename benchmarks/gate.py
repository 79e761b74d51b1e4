"""`python -m benchmarks gate`: what the gate takes and how quick it is; a number of members in, a line per figure out.

Admission is answered from records of credit-status that were written without a ledger; ingest goes to a real topic.
Processor time is the gate's own, so it means the same on a machine that is busy with other things; latencies do not:
how long gate and asker were ready to run and had no core is printed beside them. The way from an event to a decision is
`python -m benchmarks latency`.
"""

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer

from benchmarks.http_load import Answered, Job, seconds_without_core, under_load
from benchmarks.job import Job as Usage
from client.admission import LocalCopy
from pipeline.demo.system import environment
from pipeline.embedded.ports import free_port
from pipeline.engine.partitioning import partition_of
from pipeline.gate.callers import dev_secret, dev_token
from pipeline.settings import Settings
from pipeline.topics import CREDIT_STATUS
from pipeline.topics_admin import create_topics
from schemas.instants import format_instant
from schemas.status import ClockStatus, MemberStatus, OrganizationStatus

_ORGANIZATIONS = 1_000
_CONNECTIONS = 64
_RATE = 5_000
_SECONDS = 10.0
_DOLLAR_PICOUSD = 10**12
_BATCH_EVENTS = 100
_INGEST_CONNECTIONS = 16
_PATIENCE_SECONDS = 120.0


def main(settings: Settings, members: int, runs: int) -> None:
    """Print each figure as it is measured."""
    settings = settings.model_copy(
        update={
            "gate_port": free_port(),
            "gate_dev_tokens": True,
            "gate_as_of_seconds": 86_400.0,
            "gate_service_requests_per_second": 1_000_000,
        }
    )
    asyncio.run(_fill(settings, members))
    with _process(settings, "gate") as gate:
        seconds = _ready(settings)
        print(f"start: {members:,} members, ready in {seconds:.1f} s, {cpu_seconds(gate.pid):.1f} s of processor time")
        for _ in range(runs):
            _print_load("admission", gate.pid, _admissions(settings, members, _RATE))
        _print_load("admission, as many as it can", gate.pid, _admissions(settings, members, 0))
        for _ in range(runs):
            began = cpu_seconds(gate.pid)
            answered = under_load(_ingest(settings))
            micros = (cpu_seconds(gate.pid) - began) / answered.answers / _BATCH_EVENTS * 1e6
            print(
                f"ingest: {answered.per_second * _BATCH_EVENTS:,.0f} events/s in batches of {_BATCH_EVENTS}, "
                f"{micros:.1f} µs of processor time each, p99 {answered.p99_ms:.1f} ms {_only(answered, '202')}"
            )
    for _ in range(runs):
        print(f"local copy: {_local_micros(members):.2f} µs of processor time per answer, {members:,} members")


# Admission over HTTP.


def _admissions(settings: Settings, members: int, per_second: int) -> Job:
    paths = [
        f"/v1/organizations/{_org(number)}/members/{_user(number)}/admission"
        for number in range(0, members, max(1, members // 20_000))
    ]
    headers = {"authorization": f"Bearer {_token(settings, 'admission:read')}"}
    return Job(settings.gate_port, "GET", paths, headers, "", _CONNECTIONS, per_second, _SECONDS)


def _print_load(what: str, pid: int, job: Job) -> None:
    began, waited = cpu_seconds(pid), seconds_without_core(pid)
    answered = under_load(job)
    micros = (cpu_seconds(pid) - began) / answered.answers * 1e6
    waited = seconds_without_core(pid) - waited
    print(
        f"{what}: {answered.per_second:,.0f} requests/s from {job.connections} connections, {micros:.0f} µs of "
        f"processor time each, p50 {answered.p50_ms:.2f} ms, p99 {answered.p99_ms:.2f} ms, "
        f"worst {answered.worst_ms:.1f} ms; {waited / answered.seconds:.1%} of the time without a core, the asker "
        f"{answered.without_core:.1%} "
        f"{_only(answered, '200')}",
        flush=True,
    )


def _only(answered: Answered, status: str) -> str:
    return "" if set(answered.statuses) == {status} else str(answered.statuses)


def _ingest(settings: Settings) -> Job:
    """The same events over and over: the gate judges and sends them all the same."""
    usage = Usage(_BATCH_EVENTS, organizations=10, now_micros=time.time_ns() // 1_000)
    body = f"[{','.join(value.decode() for _, value in usage.records())}]"
    headers = {
        "authorization": f"Bearer {_token(settings, 'usage:write')}",
        "content-type": "application/json",
    }
    return Job(settings.gate_port, "POST", ["/v1/events"], headers, body, _INGEST_CONNECTIONS, 0, _SECONDS)


def _token(settings: Settings, scope: str) -> str:
    return dev_token(dev_secret(settings.data_dir), "chat", (scope,), settings.gate_audience, 86_400)


@contextmanager
def _process(settings: Settings, name: str) -> Iterator[subprocess.Popen[bytes]]:
    with (settings.data_dir / f"{name}.log").open("ab") as log:
        command = [sys.executable, "-m", "pipeline.cli", name]
        started = subprocess.Popen(command, env=environment(settings), stdout=log, stderr=subprocess.STDOUT)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


def _ready(settings: Settings) -> float:
    """Seconds until the gate says that it is."""
    began = time.perf_counter()
    while time.perf_counter() < began + _PATIENCE_SECONDS:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{settings.gate_port}/readyz").status_code == 200:
                return time.perf_counter() - began
        time.sleep(0.05)
    raise RuntimeError(f"the gate is not ready; see {settings.data_dir / 'gate.log'}")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Records of credit-status.


def _org(number: int) -> str:
    return f"org-{number % _ORGANIZATIONS:05d}"


def _user(number: int) -> str:
    return f"user-{number:07d}"


def _records(members: int, now_micros: int) -> Iterator[tuple[str, bytes, bytes]]:
    """(org_id, key, value): organisations with a limit, and their members, every tenth with one of their own."""
    month = format_instant(now_micros)[:7]
    for number in range(_ORGANIZATIONS):
        organization = OrganizationStatus(
            org_id=_org(number),
            org_seq=1_000,
            plan="enterprise",
            credits_enabled=True,
            month=month,
            spend_picousd=10**12,
            limit_picousd=10**18,
        )
        yield organization.org_id, organization.key(), organization.value()
    for number in range(members):
        member = MemberStatus(
            org_id=_org(number),
            org_seq=1_000,
            user_id=_user(number),
            month=month,
            spend_picousd=number * 10**6,
            limit_picousd=50 * _DOLLAR_PICOUSD if number % 10 == 0 else None,
        )
        yield member.org_id, member.key(), member.value()


async def _fill(settings: Settings, members: int) -> None:
    await create_topics(settings)
    now_micros = time.time_ns() // 1_000
    producer = AIOKafkaProducer(**settings.kafka(), max_batch_size=400_000, linger_ms=50)
    topic = settings.topic_prefix + CREDIT_STATUS.name
    await producer.start()
    try:
        for org_id, key, value in _records(members, now_micros):
            await producer.send(topic, value, key=key, partition=partition_of(org_id.encode(), settings.partitions))
        for partition in range(settings.partitions):
            clock = ClockStatus(partition=partition, as_of_micros=now_micros)
            await producer.send(topic, clock.value(), key=clock.key(), partition=partition)
    finally:
        await producer.stop()


def _local_micros(members: int) -> float:
    local = LocalCopy({}, bound_seconds=3_600)
    now_micros = time.time_ns() // 1_000
    copy = local.follower.copy
    for org_id, key, value in _records(members, now_micros):
        copy.take(partition_of(org_id.encode(), 4), key, value)
    copy.clocks = dict.fromkeys(range(4), now_micros)
    copy.is_whole = True
    asked = [(_org(number), _user(number)) for number in range(0, members, max(1, members // 100_000))]
    gc.collect()
    began = time.process_time()
    for org_id, user_id in asked:
        local.admission(org_id, user_id)
    return (time.process_time() - began) / len(asked) * 1e6
