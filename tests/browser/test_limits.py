"""Points 1 and 2: the switch, the organisation's limit, groups; on Team the balance."""

import re

import pytest
from playwright.async_api import expect

from tests.support.browsing import Browsing, Organization, sign_in
from tests.support.gate_world import BILLING

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


async def test_an_owner_switches_credits_off_and_on(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    switch = page.get_by_role("switch", name="Usage credits", exact=True)
    await expect(switch).to_be_checked()
    await switch.click()
    await expect(page.get_by_role("status").get_by_text("Usage credits are off.")).to_be_visible()
    await expect(switch).not_to_be_checked()
    assert (await org.get())["credits_enabled"] is False
    await switch.press("Space")
    await expect(switch).to_be_checked()
    assert (await org.get())["credits_enabled"] is True


async def test_adjust_limit_takes_effect_at_once_without_a_reload(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    await page.evaluate("window.isTheSame = true")
    limits = page.get_by_role("region", name="Usage and spend limits")
    await expect(limits.locator("#limit")).to_have_text("Unlimited")
    await limits.get_by_role("button", name="Adjust limit").click()
    dialog = page.get_by_role("dialog", name="Adjust limit")
    amount = dialog.get_by_label("Monthly limit (USD)")
    for wrong in ("", "ten", "1.001", "-5", "1e3"):
        await amount.fill(wrong)
        await dialog.get_by_role("button", name="Set spend limit").click()
        await expect(amount).to_have_accessible_description(re.compile("Enter dollars and cents"))
        await expect(amount).to_have_attribute("aria-invalid", "true")
    await amount.fill("$1,250.50")
    await dialog.get_by_role("button", name="Set spend limit").click()
    await expect(dialog).to_be_hidden()
    await expect(limits.locator("#limit")).to_have_text("$1,250.50")
    assert (await org.get())["limit_usd"] == "1250.50"
    await limits.get_by_role("button", name="Adjust limit").click()
    await dialog.get_by_role("button", name="Set to unlimited").click()
    await expect(limits.locator("#limit")).to_have_text("Unlimited")
    assert (await org.get())["limit_usd"] is None
    assert await page.evaluate("window.isTheSame")


async def test_a_limit_may_be_raised_for_this_month_only(browsing: Browsing, org: Organization) -> None:
    await org.put("/spend-limit", {"limit_usd": "10.00"})
    page = await browsing.person(org.owner)
    await page.get_by_role("button", name="Adjust limit").click()
    dialog = page.get_by_role("dialog", name="Adjust limit")
    amount = dialog.get_by_label("Monthly limit (USD)")
    await dialog.get_by_label("Raise it for this month only").check()
    await amount.fill("5")
    await dialog.get_by_role("button", name="Set spend limit").click()
    await expect(amount).to_have_accessible_description(re.compile("raised, not lowered"))
    await amount.fill("25")
    await dialog.get_by_role("button", name="Set spend limit").click()
    await expect(page.locator("#limit")).to_have_text("$25.00")
    await expect(page.locator("#limit-said")).to_contain_text("Raised for this month; $10.00 after it.")
    # Opened again, it does not offer to keep the raise for good.
    await page.get_by_role("button", name="Adjust limit").click()
    await expect(dialog.get_by_label("Raise it for this month only")).to_be_checked()
    await dialog.get_by_role("button", name="Set spend limit").click()
    await expect(amount).to_have_accessible_description(re.compile("raised, not lowered"))
    await dialog.get_by_role("button", name="Cancel").click()
    assert (await org.get())["limit_usd"] == "10.00"
    # Lifted for the rest of the month, it reads so, and what comes after it stays.
    await org.put("/spend-limit", {"limit_usd": None, "this_month_only": True})
    await expect(page.locator("#limit")).to_have_text("Unlimited")
    await expect(page.locator("#limit-said")).to_contain_text("Raised for this month; $10.00 after it.")
    now = await org.get()
    assert (now["limit_usd"], now["is_raised"], now["raised_usd"]) == ("10.00", True, None)


async def test_month_to_date_and_status_move_on_their_own(browsing: Browsing, org: Organization) -> None:
    await org.put("/spend-limit", {"limit_usd": "2.00"})
    page = await browsing.person(org.owner)
    await page.evaluate("window.isTheSame = true")
    row = page.get_by_role("row", name=re.compile(org.member))
    await expect(page.locator("#spent")).to_have_text("$0.00")
    await expect(row).to_contain_text("Active")
    await org.spends(org.member, 250)
    await expect(page.locator("#spent")).to_have_text("$2.50")
    await expect(row).to_contain_text("$2.50")
    await expect(row).to_contain_text("Paused until")
    await expect(page.locator("#limit-said")).to_contain_text("all members are paused")
    assert await page.evaluate("window.isTheSame")


async def test_an_enterprise_sees_its_draft_invoice_so_far(browsing: Browsing, org: Organization) -> None:
    await org.spends(org.member, 125)
    page = await browsing.person(org.owner)
    await expect(page.locator("#draft")).to_have_text("$1.25")


async def test_a_group_gets_a_limit_and_loses_it(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    groups = page.get_by_role("region", name="By group")
    standard = groups.get_by_role("row", name=re.compile("^Standard seats"))
    premium = groups.get_by_role("row", name=re.compile("^Premium seats"))
    await expect(standard.get_by_role("cell").nth(0)).to_have_text("3")
    await expect(premium.get_by_role("cell").nth(0)).to_have_text("0")
    await expect(standard).to_contain_text("Unlimited")
    await standard.get_by_role("button", name="Actions for Standard seats").click()
    await page.get_by_role("menuitem", name="Edit limit").click()
    dialog = page.get_by_role("dialog", name="Edit limit: Standard seats")
    await dialog.get_by_label("Set dollar amount").check()
    await dialog.get_by_label("Monthly limit (USD)").fill("40")
    await dialog.get_by_label("Basis").select_option("All members of the group share it")
    await dialog.get_by_role("button", name="Set limit").click()
    await expect(standard).to_contain_text("$40.00")
    await expect(standard).to_contain_text("Whole group")
    await standard.get_by_role("button", name="Actions for Standard seats").click()
    await page.get_by_role("menuitem", name="Edit limit").click()
    await dialog.get_by_label("Unlimited").check()
    await expect(dialog.get_by_label("Monthly limit (USD)")).to_be_hidden()
    await dialog.get_by_role("button", name="Set limit").click()
    await expect(standard).to_contain_text("Unlimited")
    assert [tier["limit_usd"] for tier in (await org.get("/seat-tiers"))["seat_tiers"]] == [None, None]


async def test_a_team_buys_credits_and_sees_its_balance_move(browsing: Browsing, team: Organization) -> None:
    page = await browsing.person(team.owner)
    limits = page.get_by_role("region", name="Usage and spend limits")
    await expect(limits.locator("#balance")).to_have_text("$0.00")
    await expect(page.get_by_role("region", name="By group")).to_be_hidden()
    await expect(page.get_by_role("button", name="Review requests")).to_be_hidden()
    await limits.get_by_role("button", name="Buy credits").click()
    dialog = page.get_by_role("dialog", name="Buy credits")
    amount = dialog.get_by_label("Amount (USD)")
    await amount.fill("0")
    await dialog.get_by_role("button", name="Buy credits").click()
    await expect(amount).to_have_accessible_description("The amount must be more than $0.00.")
    await amount.fill("50")
    await dialog.get_by_role("button", name="Buy credits").click()
    await expect(page.get_by_text("Billing was asked to collect $50.00")).to_be_visible()
    payment = {"payment_id": f"pay-{team.org_id}", "amount_usd": "50.00"}
    await team.world.done("POST", f"{team.path}/payments", payment, of=BILLING)
    await expect(limits.locator("#balance")).to_have_text("$50.00")


async def test_a_team_sets_auto_reload(browsing: Browsing, team: Organization) -> None:
    page = await browsing.person(team.owner)
    said = page.locator("#reload-said")
    await expect(said).to_contain_text("Off.")
    await page.get_by_role("button", name="Edit auto-reload").click()
    dialog = page.get_by_role("dialog", name="Auto-reload")
    await dialog.get_by_label("Reload when the balance is low").check()
    await dialog.get_by_label("When the balance falls to (USD)").fill("20")
    await dialog.get_by_label("Buy (USD)").fill("20")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_label("Buy (USD)")).to_have_accessible_description(
        "The amount to buy must be more than the balance it is bought at."
    )
    await dialog.get_by_label("Buy (USD)").fill("50")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_be_hidden()
    await expect(said).to_have_text("Buys $50.00 when the balance falls to $20.00.")


async def test_while_the_past_cannot_be_read_auto_reload_says_so(browsing: Browsing, team: Organization) -> None:
    page = await browsing.stranger()
    await page.route("**/auto-reload", lambda route: route.fulfill(status=503, json={"code": "history_away"}))
    await sign_in(page, browsing.url, team.owner)
    await page.goto("/settings/usage")
    await page.locator("main[aria-busy=false]").wait_for()
    await page.evaluate("document.getElementById('trouble').hidden = true")
    await page.get_by_role("button", name="Edit auto-reload").click()
    await expect(page.get_by_role("alert").get_by_text("Past usage cannot be read at the moment.")).to_be_visible()


async def test_a_bug_of_ours_is_told_with_the_id_that_finds_it(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    bug = {"code": "internal_error", "request_id": "r-77"}
    await page.route("**/credits/enabled", lambda route: route.fulfill(status=500, json=bug))
    await page.get_by_role("switch", name="Usage credits", exact=True).click()
    await expect(page.locator("#credits-problem")).to_contain_text("tell us the request id: r-77")
