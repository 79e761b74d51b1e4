"""`python -m benchmarks page`: members in; how long a browser waits for the page goes out, measured in the browser.

The whole system runs for it: Kafka, ledger, sink, ClickHouse, gate and Chromium share this machine's cores. It says
how long until the first view stands, until a changed limit is seen by who changed it and in another's window, until a
page of members is sorted anew, and what admission waits meanwhile.
"""

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright

from pipeline.demo.feed import BILLING, command_record
from pipeline.demo.system import System, local_system
from pipeline.embedded.ports import free_port
from pipeline.gate.callers import dev_secret, dev_token
from pipeline.publisher import Outgoing, publish
from pipeline.topics_admin import create_topics
from schemas.commands import Actor, AddMember, RegisterOrganization, SetCredits

_ORG = "acme"
_OWNER = "olga"
_READY_SECONDS = 300.0
_TIMES = 15
_CHROMIUM = "/usr/bin/chromium"

_SEEN = """(text) => new Promise((resolve) => {
  const limit = document.getElementById("limit");
  const look = () => {
    if (limit.textContent === text) resolve(performance.timeOrigin + performance.now());
  };
  const watcher = new MutationObserver(look);
  watcher.observe(limit, { childList: true, characterData: true, subtree: true });
  look();
})"""
_CLICK = """() => {
  document.querySelector("#limit-dialog [data-set]").click();
  return performance.timeOrigin + performance.now();
}"""
_SORT = """() => new Promise((resolve) => {
  const began = performance.now();
  const rows = document.getElementById("members-rows");
  const watcher = new MutationObserver(() => { watcher.disconnect(); resolve(performance.now() - began); });
  watcher.observe(rows, { childList: true });
  document.querySelector("#members-head .sort").click();
})"""


async def measure(members: int) -> None:
    """Print the figures for an organisation of so many members."""
    with tempfile.TemporaryDirectory() as folder, local_system(Path(folder), "live", lambda line: None) as system:
        system.settings = system.settings.model_copy(
            update={"gate_port": free_port(), "gate_dev_tokens": True, "gate_user_requests_per_second": 1_000}
        )
        await create_topics(system.settings)
        await publish(system.settings, _commands(members))
        for name in ("ledger", "sink", "gate"):
            system.start_worker(name)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{system.settings.gate_port}", timeout=30) as http:
            await _until_known(system, http, f"m{members - 1}")
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
                try:
                    await _browse(browser, http, _headers(system), members)
                finally:
                    await browser.close()


async def _browse(browser: Browser, http: httpx.AsyncClient, headers: dict[str, str], members: int) -> None:
    one, other = await _opened(browser, str(http.base_url)), await _opened(browser, str(http.base_url))
    first: list[float] = []
    whole: list[float] = []
    for _ in range(_TIMES):
        await one.reload()
        await one.locator("main[aria-busy=false]").wait_for()
        for mark, times in (("first view", first), ("all views", whole)):
            times.append(await one.evaluate(f"performance.getEntriesByName('{mark}')[0].startTime"))
    _tell(f"first view (limits, month to date), {members:,} members", first)
    _tell("all views, members and history too", whole)
    own, seen = [], []
    for number in range(_TIMES):
        await one.get_by_role("button", name="Adjust limit").click()
        await one.locator("#limit-amount").fill(str(1_000 + number))
        text = f"${1_000 + number:,}.00"
        waiting = [asyncio.create_task(page.evaluate(_SEEN, text)) for page in (one, other)]
        await asyncio.sleep(0.05)
        clicked = await one.evaluate(_CLICK)
        at_one, at_other = await asyncio.gather(*waiting)
        own.append(at_one - clicked)
        seen.append(at_other - clicked)
        await one.locator("#limit-dialog").wait_for(state="hidden")
    _tell("limit changed, seen by who changed it", own)
    _tell("limit changed, seen in another's window", seen)
    asking = asyncio.create_task(_admissions(http, headers))
    await asyncio.sleep(1)
    _tell("members sorted anew", [await one.evaluate(_SORT) for _ in range(_TIMES)])
    asking.cancel()
    waits = await asking
    print(f"admission meanwhile: median {waits[len(waits) // 2]:.1f} ms, 99 % {waits[int(len(waits) * 0.99)]:.1f} ms")


async def _admissions(http: httpx.AsyncClient, headers: dict[str, str]) -> list[float]:
    waits = []
    try:
        for number in itertools.count():
            began = time.perf_counter()
            await http.get(f"/v1/organizations/{_ORG}/members/m{number % 100}/admission", headers=headers)
            waits.append((time.perf_counter() - began) * 1_000)
            await asyncio.sleep(0.002)
    except asyncio.CancelledError:
        pass
    return sorted(waits)


async def _opened(browser: Browser, url: str) -> Page:
    page = await (await browser.new_context(base_url=url)).new_page()
    origin = {"origin": url.rstrip("/")}
    await page.request.post("/sign-in/demo", form={"user_id": _OWNER}, headers=origin, max_redirects=0)
    await page.goto("/settings/usage")
    await page.locator("main[aria-busy=false]").wait_for()
    return page


async def _until_known(system: System, http: httpx.AsyncClient, user_id: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        system.check()
        try:
            path = f"/v1/organizations/{_ORG}/members/{user_id}/admission"
            answer: Any = (await http.get(path, headers=_headers(system))).json()
            if answer.get("allowed"):
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.5)
    raise TimeoutError(f"{user_id} is not known after {_READY_SECONDS:.0f} s")


def _headers(system: System) -> dict[str, str]:
    settings = system.settings
    made = dev_token(dev_secret(settings.data_dir), "chat", ("admission:read",), settings.gate_audience, 3_600)
    return {"authorization": f"Bearer {made}"}


def _commands(members: int) -> Iterator[Outgoing]:
    common: dict[str, Any] = {"org_id": _ORG, "actor": Actor(kind="user", id=_OWNER)}
    now_micros = time.time_ns() // 1_000
    yield command_record(
        RegisterOrganization(
            command_id="register", org_id=_ORG, actor=BILLING, plan="enterprise", primary_owner=_OWNER
        ),
        now_micros,
    )
    yield command_record(SetCredits(command_id="credits", enabled=True, **common), now_micros)
    for number in range(members):
        yield command_record(AddMember(command_id=f"add-{number}", user_id=f"m{number}", **common), now_micros)


def _tell(what: str, times_ms: list[float]) -> None:
    print(f"{what}: median {statistics.median(times_ms):.0f} ms, longest {max(times_ms):.0f} ms of {len(times_ms)}")
