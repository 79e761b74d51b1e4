"""A gate on real parts: Kafka, ledger, OIDC issuer and ClickHouse come in; a client of the gate goes out."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pipeline.demo.system import environment
from pipeline.gate.callers import dev_secret, dev_token
from pipeline.settings import Settings
from pipeline.topics_admin import create_topics

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
ALL_SCOPES = ("usage:write", "admission:read", "billing:write")


@contextmanager
def process(settings: Settings, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, gone at the end of the block."""
    log = settings.data_dir / f"{command[0]}.log"
    with log.open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *command],
            cwd=ROOT,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@dataclass(slots=True)
class GateWorld:
    """A running gate and how to call it."""

    settings: Settings
    http: httpx.AsyncClient
    tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    def token(self, sub: str, *scopes: str) -> str:
        key = (sub, *scopes)
        if key not in self.tokens:
            secret = dev_secret(self.settings.data_dir)
            self.tokens[key] = dev_token(secret, sub, scopes, self.settings.gate_audience, 3_600)
        return self.tokens[key]

    def headers(self, sub: str, *scopes: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(sub, *scopes)}"}

    async def call(self, method: str, path: str, body: Any = None, *, of: str | tuple[str, ...], **more: Any) -> Any:
        """An answer to a person, or to a service named with its scopes."""
        who = (of,) if isinstance(of, str) else of
        headers = self.headers(*who) | more.pop("headers", {})
        return await self.http.request(method, path, json=body, headers=headers, **more)

    async def done(self, method: str, path: str, body: Any = None, *, of: str | tuple[str, ...], **more: Any) -> Any:
        """The JSON of an answer that is good."""
        answer = await self.call(method, path, body, of=of, **more)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    async def ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        last = ""
        while time.monotonic() < deadline:
            try:
                answer = await self.http.get("/readyz")
                if answer.status_code == 200:
                    return
                last = answer.text
            except httpx.TransportError as error:
                last = repr(error)
            await asyncio.sleep(0.1)
        log = self.settings.data_dir / "gate.log"
        raise AssertionError(f"not ready: {last}\n{log.read_text()[-3000:] if log.exists() else ''}")


BILLING = ("billing", "billing:write")
PRODUCT = ("chat", "usage:write", "admission:read")


async def make_organization(
    world: GateWorld, org_id: str, owner: str = "olga", admin: str = "adam", member: str = "mia"
) -> None:
    """An Enterprise organisation with credits on: an owner, an admin, a member."""
    at = f"/v1/organizations/{org_id}"
    await world.done("PUT", at, {"plan": "enterprise", "primary_owner": owner}, of=BILLING)
    await world.done("PUT", f"{at}/credits/enabled", {"enabled": True}, of=owner)
    await world.done("PUT", f"{at}/members/{admin}", {"role": "admin"}, of=owner)
    await world.done("PUT", f"{at}/members/{member}", {}, of=owner)


def usage(event_id: str, org_id: str, cents: int, user_id: str = "mia", **fields: Any) -> dict[str, Any]:
    """An event of now that costs so many cents."""
    return {
        "org_id": org_id,
        "user_id": user_id,
        "event_id": event_id,
        "product": "chat",
        "model": "claude-sonnet-4-6",
        "occurred_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "funding": "credits",
        "web_search_requests": cents,
        **fields,
    }


@asynccontextmanager
async def gate_running(settings: Settings) -> AsyncIterator[GateWorld]:
    """Topics and a gate; the ledger is somebody else's."""
    await create_topics(settings)
    with process(settings, "gate"):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.gate_port}", timeout=30) as http:
            world = GateWorld(settings, http)
            await world.ready()
            yield world


@asynccontextmanager
async def sink_running(settings: Settings) -> AsyncIterator[None]:
    """A sink that has its tables and partitions: whoever asks the gate for the past is answered from now on."""
    log = settings.data_dir / "sink.log"
    with process(settings, "sink"):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "holding" not in log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield


@asynccontextmanager
async def gate_world(settings: Settings) -> AsyncIterator[GateWorld]:
    """Topics, a ledger and a gate."""
    await create_topics(settings)
    with process(settings, "ledger"):
        async with gate_running(settings) as world:
            yield world
