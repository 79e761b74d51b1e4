"""People in front of the page: a running gate and a real Chromium come in; pages of who is signed in go out."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.support.gate_world import BILLING, PRODUCT, GateWorld, usage

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 20_000
_NUMBERS = count(1)

expect.set_options(timeout=PATIENCE_MS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium; as root it has no sandbox."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(slots=True)
class Browsing:
    """Opens the page for people, and remembers what their browsers complained about."""

    browser: Browser
    world: GateWorld
    complaints: list[str] = field(default_factory=list)
    _pages: list[Page] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the gate is."""
        return str(self.world.http.base_url).rstrip("/")

    async def stranger(self, **options: Any) -> Page:
        """A browser of its own in which nobody is signed in."""
        context = await self.browser.new_context(
            base_url=self.url, reduced_motion="reduce", timezone_id="America/New_York", locale="en-US", **options
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("console", lambda message: self._hear(message))
        page.on("pageerror", lambda error: self.complaints.append(f"{error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"a script opened {dialog.message}"))
        self._pages.append(page)
        return page

    async def person(self, user_id: str, **options: Any) -> Page:
        """Somebody in front of the page."""
        page = await self.stranger(**options)
        await sign_in(page, self.url, user_id)
        await page.goto("/settings/usage")
        await page.locator("main[aria-busy=false]").wait_for()
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        # What the server refuses the page says in words; the browser says it too.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    async def close(self) -> None:
        """Close every browser."""
        for page in self._pages:
            await page.context.close()


async def sign_in(page: Page, origin: str, user_id: str) -> None:
    """As the form of the sign-in page does it; one test clicks it through."""
    answer = await page.request.post(
        "/sign-in/demo", form={"user_id": user_id}, headers={"origin": origin}, max_redirects=0
    )
    assert answer.status == 303, await answer.text()


@dataclass(slots=True)
class Organization:
    """An organisation of one test, with people of its own."""

    world: GateWorld
    org_id: str
    owner: str
    admin: str
    member: str

    @property
    def path(self) -> str:
        """Of the API."""
        return f"/v1/organizations/{self.org_id}"

    async def put(self, path: str, body: Any, of: Any = None) -> Any:
        """A command over the API, of the owner."""
        return await self.world.done("PUT", self.path + path, body, of=of or self.owner)

    async def get(self, path: str = "", of: Any = None) -> Any:
        """What the API says, to the owner."""
        return await self.world.done("GET", self.path + path, of=of or self.owner)

    async def spends(self, user_id: str, cents: int, **fields: Any) -> None:
        """Somebody uses credits, and the gate's copy knows it."""
        number = next(_NUMBERS)
        before = await self._spent(user_id)
        events = [usage(f"e-{number}", self.org_id, cents, user_id, **fields)]
        await self.world.done("POST", "/v1/events", events, of=PRODUCT)
        deadline = time.monotonic() + 30
        while await self._spent(user_id) == before:
            assert time.monotonic() < deadline, "the usage is not charged"
            await asyncio.sleep(0.05)

    async def stored(self, path: str, least: int) -> Any:
        """Rows of the past, once ClickHouse has that many."""
        deadline = time.monotonic() + 60
        while len(rows := (await self.get(path))["rows"]) < least:
            assert time.monotonic() < deadline, f"{path} has {rows}"
            await asyncio.sleep(0.05)
        return rows

    async def _spent(self, user_id: str) -> str:
        spent: str = (await self.get(f"/members/{user_id}"))["spend_usd"]
        return spent


async def make(world: GateWorld, plan: str = "enterprise") -> Organization:
    """An organisation with credits on: an owner, an admin, a member; no other test has them."""
    number = next(_NUMBERS)
    made = Organization(world, f"org-{number}", f"olga-{number}", f"adam-{number}", f"mia-{number}")
    await world.done("PUT", made.path, {"plan": plan, "primary_owner": made.owner}, of=BILLING)
    await made.put("/credits/enabled", {"enabled": True})
    await made.put(f"/members/{made.admin}", {"role": "admin"})
    await made.put(f"/members/{made.member}", {})
    return made
