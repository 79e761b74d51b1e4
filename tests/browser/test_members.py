"""Points 3, 4 and 5: members, requests, and what a member sees; two people at once."""

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from tests.support.browsing import Browsing, Organization
from tests.support.gate_world import PRODUCT

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


async def choose(page: Page, user_id: str, action: str) -> None:
    await page.get_by_role("button", name=f"Actions for {user_id}").click()
    await page.get_by_role("menuitem", name=action).click()


async def admission(org: Organization, user_id: str) -> tuple[bool, str | None]:
    answer = await org.world.done("GET", f"{org.path}/members/{user_id}/admission", of=PRODUCT)
    return answer["allowed"], answer["reason"]


async def test_a_row_says_who_spent_what_and_which_limit_binds(browsing: Browsing, org: Organization) -> None:
    await org.put("/spend-limit", {"limit_usd": "100.00"})
    await org.put("/seat-tiers/standard/spend-limit", {"limit_usd": "5.00"})
    await org.put(f"/members/{org.admin}/spend-limit", {"limit_usd": "0"})
    await org.spends(org.member, 120)
    page = await browsing.person(org.owner)
    row = page.get_by_role("row", name=re.compile(org.member))
    for text in ("Standard", "Member", "$1.20", "$5.00", "Seat limit applies", "Active"):
        await expect(row).to_contain_text(text)
    await expect(page.get_by_role("row", name=re.compile(org.admin))).to_contain_text("Own limit applies")
    await expect(page.get_by_role("row", name=re.compile(org.admin)).locator(".badge")).to_have_text("Paused")


async def test_an_owner_gives_a_member_a_limit_and_takes_it_away(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    row = page.get_by_role("row", name=re.compile(org.member))
    await choose(page, org.member, "Edit limit")
    dialog = page.get_by_role("dialog", name=f"Edit limit: {org.member}")
    await dialog.get_by_label("Set dollar amount").check()
    await dialog.get_by_label("Monthly limit (USD)").fill("12.34")
    await page.keyboard.press("Enter")
    await expect(row).to_contain_text("$12.34")
    await expect(row).to_contain_text("Own limit applies")
    await choose(page, org.member, "Set to unlimited")
    await expect(row).to_contain_text("Unlimited")
    assert (await org.get(f"/members/{org.member}"))["limit_usd"] is None


async def test_an_owner_disables_a_member_and_changes_the_seat(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    row = page.get_by_role("row", name=re.compile(org.member))
    await choose(page, org.member, "Disable credits")
    await expect(row).to_contain_text("Disabled")
    assert await admission(org, org.member) == (False, "disabled")
    await choose(page, org.member, "Enable credits")
    await expect(row).to_contain_text("Active")
    await choose(page, org.member, "Change seat to Premium")
    await expect(row).to_contain_text("Premium")
    assert (await org.get(f"/members/{org.member}"))["seat_tier"] == "premium"


async def test_members_are_searched_sorted_and_paged_by_the_server(browsing: Browsing, org: Organization) -> None:
    names = [f"{org.org_id}-m{number:03d}" for number in range(60)]
    await asyncio.gather(*(org.put(f"/members/{name}", {}) for name in names))
    await org.spends(names[59], 300)
    page = await browsing.person(org.admin)
    members = page.get_by_role("region", name="Spend limits by user")
    first = members.locator("tbody tr").first
    await expect(first).to_contain_text(names[59])
    await expect(members.get_by_text("1–50 of 63")).to_be_visible()
    await members.get_by_role("button", name="Next").click()
    await expect(members.get_by_text("51–63 of 63")).to_be_visible()
    await members.get_by_role("button", name="Previous").click()
    await members.get_by_role("button", name="Name").click()
    await expect(first).to_contain_text(org.admin)
    await expect(members.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    await members.get_by_role("searchbox").fill("m00")
    await expect(members.get_by_text("1–10 of 10")).to_be_visible()
    await expect(first).to_contain_text(names[0])
    await members.get_by_role("searchbox").fill("nobody-like-this")
    await expect(members.get_by_text("No name or user id contains “nobody-like-this”")).to_be_visible()


async def test_a_member_requests_an_admin_approves_and_the_member_goes_on(
    browsing: Browsing, org: Organization
) -> None:
    await org.put("/seat-tiers/standard/spend-limit", {"limit_usd": "1.00"})
    await org.spends(org.member, 150)
    member, admin = await browsing.person(org.member), await browsing.person(org.admin)
    own = member.get_by_role("region", name="Your usage")
    await expect(own).to_contain_text("$0.00 left")
    await expect(own).to_contain_text("Your seat has reached its spend limit for this month. Paused until")
    review = admin.get_by_role("button", name="Review requests")
    await expect(review).to_have_text("Review requests0")

    await own.get_by_role("button", name="Request usage credits").click()
    sent = own.get_by_role("button", name="Request sent to admin")
    await expect(sent).to_be_disabled()
    await member.reload()
    await expect(sent).to_be_disabled()

    await expect(review).to_have_text("Review requests1")
    await review.click()
    request = admin.get_by_role("dialog", name="Review requests").get_by_role("listitem")
    for text in (org.member, "Standard", "$1.50", "Asks for usage credits"):
        await expect(request).to_contain_text(text)
    await expect(request.locator("time")).to_have_attribute(
        "title", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$")
    )
    amount = request.get_by_label("New monthly limit (USD)")
    await amount.fill("1.50")
    await request.get_by_role("button", name="Increase limit").click()
    await expect(amount).to_have_accessible_description("The limit must be more than was spent this month: $1.50.")
    await amount.fill("9")
    await request.get_by_role("button", name="Increase limit").click()
    await expect(admin.get_by_text("No requests are waiting.")).to_be_visible()

    await expect(own).to_contain_text("$7.50 left")
    await expect(own.get_by_role("button", name="Request usage credits")).to_be_enabled()
    assert await admission(org, org.member) == (True, None)


async def test_an_admin_switches_a_requester_to_premium_or_denies(browsing: Browsing, org: Organization) -> None:
    ask = {"kind": "premium_seat"}
    await org.world.done("POST", f"{org.path}/credit-requests", ask, of=org.member)
    admin = await browsing.person(org.admin)
    await admin.get_by_role("button", name="Review requests").click()
    dialog = admin.get_by_role("dialog", name="Review requests")
    await dialog.get_by_role("button", name="Switch to Premium").click()
    await expect(dialog.get_by_text("No requests are waiting.")).to_be_visible()
    assert (await org.get(f"/members/{org.member}"))["seat_tier"] == "premium"
    await org.world.done("POST", f"{org.path}/credit-requests", {"kind": "credits"}, of=org.member)
    await dialog.get_by_role("button", name="Deny").click()
    await expect(dialog.get_by_text("No requests are waiting.")).to_be_visible()
    assert (await org.get("/credit-requests/pending"))["total"] == 0


async def test_an_owner_lets_members_request_or_not(browsing: Browsing, org: Organization) -> None:
    owner, member = await browsing.person(org.owner), await browsing.person(org.member)
    ask = member.get_by_role("button", name="Request usage credits")
    await expect(ask).to_be_visible()
    switch = owner.get_by_role("switch", name="Let members request usage credits")
    await switch.click()
    await expect(switch).not_to_be_checked()
    await expect(ask).to_be_hidden()
    await switch.click()
    await expect(ask).to_be_visible()


async def test_what_is_left_is_said_to_a_member_and_moves(browsing: Browsing, org: Organization) -> None:
    await org.put(f"/members/{org.member}/spend-limit", {"limit_usd": "10.00"})
    page = await browsing.person(org.member)
    own = page.get_by_role("region", name="Your usage")
    await expect(own).to_contain_text("$10.00 left")
    await expect(own).to_contain_text("Own limit (applies)")
    await org.spends(org.member, 275)
    await expect(own).to_contain_text("$7.25 left")
    await org.put("/credits/enabled", {"enabled": False})
    await expect(own).to_contain_text("Usage credits are off for your organization.")


async def test_people_say_how_they_are_called_and_which_mails_they_want(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.member)
    await page.get_by_role("button", name="Name and email").click()
    dialog = page.get_by_role("dialog", name="Name and email")
    await expect(
        dialog.get_by_label("once a day, if requests are waiting for review")
    ).to_be_hidden()  # that is for admins
    await dialog.get_by_label("Name", exact=True).fill("Mia  Ilves")
    await dialog.get_by_label("Email", exact=True).fill("mia")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_text("Enter an address such as mia@example.com")).to_be_visible()
    await dialog.get_by_label("Email", exact=True).fill("mia@example.com")
    await dialog.get_by_label("when spend gets close to a limit").uncheck()
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").get_by_text("We will email mia@example.com.")).to_be_visible()
    held = await org.get(f"/members/{org.member}/contact")
    assert (held["display_name"], held["email"]) == ("Mia Ilves", "mia@example.com")
    assert (held["notices"]["thresholds"], held["notices"]["breaches"]) == (False, True)

    owner = await browsing.person(org.owner)
    await expect(owner.get_by_role("row", name=re.compile("Mia Ilves"))).to_contain_text("Standard")


async def test_a_row_follows_its_members_name_and_removal(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    row = page.get_by_role("row", name=re.compile(org.member))
    await expect(row.get_by_role("button", name=f"Actions for {org.member}")).to_be_visible()
    at = f"{org.path}/members/{org.member}"
    await org.world.done("PATCH", f"{at}/contact", {"display_name": "Mia Ilves"}, of=org.owner)
    await expect(row).to_contain_text("Mia Ilves")
    await org.world.done("DELETE", at, of=org.owner)
    await expect(row).to_contain_text("Removed")
    await expect(row.get_by_role("button")).to_have_count(0)
