"""Point 8: the demo people on loopback; OpenID Connect with a real provider, and every way back that is no good."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Browser, expect
from pydantic import SecretStr

from pipeline.embedded.ports import free_port
from tests.support.browsing import Browsing, Organization, make
from tests.support.gate_world import GateWorld, process
from tests.support.oidc_provider import provider

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


async def test_the_sign_in_page_lists_who_is_known_here(browsing: Browsing, org: Organization) -> None:
    page = await browsing.stranger()
    await page.goto("/")
    await expect(page).to_have_url(re.compile("/sign-in"))
    await expect(page.locator(".people button").first).to_be_visible()
    await page.get_by_label("Somebody else").fill(org.owner)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.locator("#who")).to_have_text(f"{org.owner} · Primary owner")
    await page.goto("/sign-in")
    first = page.locator(".people button").first
    name = await first.get_attribute("value")
    await first.click()
    await expect(page.locator("#who")).to_contain_text(f"{name} · ")


@pytest.fixture(scope="module")
async def behind_oidc(stack: GateWorld) -> AsyncIterator[tuple[GateWorld, str]]:
    """A gate whose people come from an issuer, and that issuer."""
    with provider(free_port()) as issuer:
        settings = stack.settings.model_copy(
            update={"gate_port": free_port(), "gate_issuer": issuer, "gate_dev_tokens": False}
            | {"gate_client_secret": SecretStr("of the page")}
        )
        with process(settings, "gate"):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.gate_port}", timeout=30) as http:
                world = GateWorld(settings, http)
                await world.ready()
                yield world, issuer


async def test_a_person_signs_in_at_the_issuer(
    browser: Browser, stack: GateWorld, behind_oidc: tuple[GateWorld, str]
) -> None:
    org = await make(stack)
    world, issuer = behind_oidc
    browsing = Browsing(browser, world)
    page = await browsing.stranger()
    await page.goto("/settings/usage")
    await expect(page.locator(".people")).to_have_count(0)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    await page.get_by_role("link", name="Sign in").click()
    await expect(page).to_have_url(re.compile(re.escape(issuer)))
    [asked] = [httpx.URL(url) for url in sent if "/oauth2/authorize" in url]
    assert asked.params["code_challenge_method"] == "S256"
    assert asked.params["state"]
    assert asked.params["nonce"]
    await page.get_by_placeholder("sub").fill(org.owner)
    await page.get_by_role("button", name="Authorize").click()
    await expect(page.locator("#who")).to_have_text(f"{org.owner} · Primary owner")
    assert [cookie["name"] for cookie in await page.context.cookies(browsing.url)] == ["usage-credits-session"]
    await browsing.close()
    assert browsing.complaints == []


async def test_a_way_back_that_was_not_begun_here_signs_nobody_in(
    browser: Browser, behind_oidc: tuple[GateWorld, str]
) -> None:
    browsing = Browsing(browser, behind_oidc[0])
    page = await browsing.stranger()
    await page.goto("/sign-in/back?code=stolen&state=guessed")
    await expect(page.get_by_text("That sign-in was not started in this browser")).to_be_visible()
    await page.goto("/sign-in/start")
    await page.goto(f"{browsing.url}/sign-in/back?code=stolen&state=guessed")
    await expect(page.get_by_text("That sign-in was not started in this browser")).to_be_visible()
    await page.get_by_role("link", name="Sign in").click()
    state = httpx.URL(page.url).params["state"]
    for word in ("error=access_denied", "code=never-given"):
        await page.goto(f"{browsing.url}/sign-in/back?{word}&state={state}")
        await expect(page.get_by_text("The sign-in service did not say who you are.")).to_be_visible()
        await page.get_by_role("link", name="Sign in").click()
        state = httpx.URL(page.url).params["state"]
    assert "usage-credits-session" not in [cookie["name"] for cookie in await page.context.cookies(browsing.url)]
    await browsing.close()


async def test_without_development_tokens_nobody_is_taken_at_their_word(behind_oidc: tuple[GateWorld, str]) -> None:
    world, _ = behind_oidc
    origin = str(world.http.base_url).rstrip("/")
    answer = await world.http.post("/sign-in/demo", data={"user_id": "olga"}, headers={"origin": origin})
    assert answer.status_code == 404
