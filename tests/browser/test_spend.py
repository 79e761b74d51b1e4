"""Point 6: where the money went, drawn; limits reached and changed as a history."""

import asyncio
import time

import pytest
from playwright.async_api import expect

from tests.support.browsing import Browsing, Organization
from tests.support.gate_world import BILLING

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


async def test_spend_is_drawn_per_day_with_the_limit_and_listed_by_product_and_model(
    browsing: Browsing, org: Organization
) -> None:
    await org.put("/spend-limit", {"limit_usd": "5.00"})
    await org.spends(org.member, 125)
    await org.spends(org.admin, 75, product="claude-code", model="claude-opus-4-6")
    page = await browsing.person(org.admin)
    spend = page.get_by_role("region", name="Where the money went")
    await expect(spend).to_contain_text("$2.00 of usage credits")
    chart = spend.get_by_role("img")
    await expect(chart.locator("rect.day[height]:not([height='0'])")).to_have_count(1)
    await expect(chart).to_contain_text("Limit $5.00")
    for row, amount in (
        ("chat", "$1.25"),
        ("claude-code", "$0.75"),
        ("claude-sonnet-4-6", "$1.25"),
        ("claude-opus-4-6", "$0.75"),
    ):
        await expect(spend.get_by_role("row", name=row)).to_contain_text(amount)
    await spend.get_by_text("Show days as a table").click()
    await expect(spend.get_by_role("row", name=time.strftime("%Y-%m-%d", time.gmtime()))).to_contain_text("$2.00")


async def test_half_a_cent_rounds_up_in_the_drawing_and_among_others_as_it_does_everywhere(
    browsing: Browsing, org: Organization
) -> None:
    for number in range(6):
        await org.spends(org.member, 103, product=f"product-{number}")
    # 100 searches and 1,000 tokens at $5 per million: $1.005, which as a binary fraction is a little less.
    await org.spends(org.member, 100, product="the-least", model="claude-opus-4-6", input_tokens=1_000)
    async with asyncio.timeout(30):
        while (await org.get("/spend"))["spend_usd"] != "7.185":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    page = await browsing.person(org.owner)
    spend = page.get_by_role("region", name="Where the money went")
    await expect(spend.get_by_role("row", name="Others")).to_contain_text("$1.01")
    day = spend.get_by_role("img").locator("rect.day[height]:not([height='0']) title")
    await expect(day).to_have_text(f"{time.strftime('%Y-%m-%d', time.gmtime())}: $7.19")


async def test_a_forecast_is_the_pace_so_far(org: Organization) -> None:
    await org.spends(org.member, 100)
    async with asyncio.timeout(30):
        while not (answer := await org.get("/spend", of=BILLING))["days"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    elapsed = time.gmtime().tm_mday - 1 + (time.time() % 86_400) / 86_400
    if elapsed < 1:
        assert answer["forecast_usd"] is None
    else:
        assert float(answer["forecast_usd"]) >= 1
    ended = await org.get("/spend?month=2020-02", of=BILLING)
    assert (ended["spend_usd"], ended["forecast_usd"], ended["days"]) == ("0.00", "0.00", [])


async def test_limits_reached_and_changed_are_a_history(browsing: Browsing, org: Organization) -> None:
    await org.put("/spend-limit", {"limit_usd": "1.00"})
    await org.spends(org.member, 130)
    await org.put("/spend-limit", {"limit_usd": "4.00"})
    refused = await org.world.call("PUT", f"{org.path}/spend-limit", {"limit_usd": "9.00"}, of=org.member)
    assert refused.status_code == 403
    await org.stored("/audit-log", 7)
    await org.stored("/breaches", 1)
    owner, admin = await browsing.person(org.owner), await browsing.person(org.admin)
    history = owner.get_by_role("region", name="History")
    for said in (
        "The organization reached the limit of $1.00, $0.30 over. The pause has ended.",
        f"{org.owner} changed the organization limit from Unlimited to $1.00.",
        f"{org.owner} changed the organization limit from $1.00 to $4.00.",
        f"{org.member} was refused: set organization limit (not allowed).",
    ):
        await expect(history.get_by_text(said)).to_be_visible()
    theirs = admin.get_by_role("region", name="History")
    await expect(theirs.get_by_text("The organization reached the limit")).to_be_visible()
    await expect(theirs.get_by_role("listitem")).to_have_count(1)


async def test_an_empty_organization_is_told_what_to_do(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.admin)
    await expect(page.locator("#spend-said")).to_contain_text("Each day's spend is drawn here.")
    await expect(page.get_by_text("Nothing yet.")).to_be_visible()
    await page.get_by_role("button", name="Review requests").click()
    await expect(page.get_by_text("No requests are waiting. Requests from members show up here.")).to_be_visible()
    stranger = await browsing.person("somebody-else")
    await expect(stranger.get_by_text("You are not in any organization yet")).to_be_visible()
