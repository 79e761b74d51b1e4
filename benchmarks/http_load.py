"""Load over HTTP: requests, connections and a rate come in; how long answers took goes out.

A process of its own (`python -m benchmarks.http_load`, a Job as JSON on standard input), so that who is measured has a
core for themselves. A request is due at its own instant whatever became of those before it, and its latency runs from
then: who is slow cannot slow down the asking.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httptools
import uvloop


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask: paths in turn, each with the same headers and body.

    Attributes:
        per_second: 0: each connection asks again as soon as it was answered.
    """

    port: int
    method: str
    paths: list[str]
    headers: dict[str, str]
    body: str
    connections: int
    per_second: int
    seconds: float

    def requests(self) -> list[bytes]:
        """The bytes of each."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        rest = f"HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(self.body)}\r\n{head}\r\n{self.body}"
        return [f"{self.method} {path} {rest}".encode() for path in self.paths]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of it; milliseconds from when a request was due to the end of its answer.

    Attributes:
        without_core: the share of the time in which whoever asks was ready to run while others ran: latencies hold it.
    """

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    without_core: float
    statuses: dict[str, int]

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds


def under_load(job: Job) -> Answered:
    """Run a job in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.http_load"]
    done = subprocess.run(command, input=json.dumps(asdict(job)), capture_output=True, text=True, check=True)
    return Answered(**json.loads(done.stdout))


def seconds_without_core(pid: int | str) -> float:
    """How long a process's loop was ready to run while others ran."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


class _Connection(asyncio.Protocol):
    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._parser = httptools.HttpResponseParser(self)
        self._due = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._load.free.append(self)

    def ask(self, due: float, request: bytes) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._load.latencies.append(time.perf_counter() - self._due)
        self._load.statuses[str(self._parser.get_status_code())] += 1
        self._load.free.append(self)


class _Load:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.free: deque[_Connection] = deque()
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()

    async def run(self) -> Answered:
        job, loop = self.job, asyncio.get_running_loop()
        for _ in range(job.connections):
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", job.port)
        began, waited = time.perf_counter(), seconds_without_core("self")
        asked = 0
        for request in islice(cycle(job.requests()), int(job.per_second * job.seconds) or None):
            due = began + asked / job.per_second if job.per_second else time.perf_counter()
            # It spins: sleeping would be exact to a millisecond only.
            while time.perf_counter() < due or not self.free:  # noqa: ASYNC110
                await asyncio.sleep(0)
            if not job.per_second:
                due = time.perf_counter()
                if due > began + job.seconds:
                    break
            self.free.popleft().ask(due, request)
            asked += 1
        while len(self.latencies) < asked:  # noqa: ASYNC110
            await asyncio.sleep(0)
        found = sorted(self.latencies)
        p50, p99, worst = (found[int(share * (len(found) - 1))] * 1e3 for share in (0.5, 0.99, 1))
        seconds = time.perf_counter() - began
        without_core = (seconds_without_core("self") - waited) / seconds
        return Answered(asked, seconds, p50, p99, worst, without_core, dict(self.statuses))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_Load(Job(**json.load(sys.stdin))).run()))))
