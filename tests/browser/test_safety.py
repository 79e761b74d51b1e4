"""Who may not sees nothing and is refused; no text becomes script; no other page uses a session; axe finds nothing."""

from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.support.browsing import Browsing, Organization, make, sign_in
from tests.support.gate_world import BILLING, PRODUCT, GateWorld, usage

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

EVIL = "<img/src=x/onerror=alert(1)>"
EVIL_TOO = "\"'><svg/onload=alert(2)>"
EVIL_ID = "\"'><u>x<script>alert(3)"
"""A path cannot hold an id with a slash."""


async def token(page: Page) -> str:
    answer = await page.request.get("/v1/me")
    csrf: str = (await answer.json())["csrf_token"]
    return csrf


# Roles.


async def test_a_member_sees_their_own_usage_and_no_more(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.member)
    assert [await name.inner_text() for name in await page.get_by_role("heading", level=2).all()] == ["Your usage"]
    await expect(page.get_by_role("button", name="Review requests")).to_be_hidden()
    headers = {"origin": browsing.url, "x-csrf-token": await token(page)}
    for path in (
        "/members",
        "/seat-tiers",
        "/spend",
        "/breaches",
        "/audit-log",
        "/draft-invoice",
        "/credit-requests/pending",
    ):
        answer = await page.request.get(org.path + path)
        assert answer.status == 403, path
    limit = {"limit_usd": "1.00"}
    changes = (
        ("/spend-limit", limit),
        ("/credits/enabled", {"enabled": False}),
        (f"/members/{org.member}/spend-limit", limit),
    )
    for path, body in changes:
        answer = await page.request.put(org.path + path, headers=headers, data=body)
        assert (answer.status, (await answer.json())["code"]) == (403, "not_allowed"), path


async def test_an_admin_looks_on_but_changes_no_limits(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.admin)
    await expect(page.get_by_role("region", name="Spend limits by user")).to_be_visible()
    for name in ("Adjust limit", "Buy credits", "Edit auto-reload", "Actions for Standard seats"):
        await expect(page.get_by_role("button", name=name)).to_be_hidden()
    await expect(page.get_by_role("switch", name="Usage credits", exact=True)).to_be_disabled()
    await expect(page.get_by_role("switch", name="Let members request usage credits")).to_be_hidden()
    await expect(page.get_by_role("button", name=f"Actions for {org.owner}")).to_be_hidden()
    await page.get_by_role("button", name=f"Actions for {org.member}").click()
    assert await page.get_by_role("menuitem").all_inner_texts() == ["Change seat to Premium"]
    headers = {"origin": browsing.url, "x-csrf-token": await token(page)}
    answer = await page.request.put(f"{org.path}/spend-limit", headers=headers, data={"limit_usd": "1.00"})
    assert (answer.status, (await answer.json())["code"]) == (403, "not_allowed")
    assert (await page.request.get(f"{org.path}/audit-log")).status == 403


async def test_who_is_demoted_sees_no_more_than_their_role_at_once(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.admin)
    await expect(page.get_by_role("region", name="Spend limits by user")).to_be_visible()
    await org.put(f"/members/{org.admin}/role", {"role": "member"})
    await expect(page.get_by_role("region", name="Spend limits by user")).to_be_hidden()
    await expect(page.get_by_role("region", name="Your usage")).to_be_visible()


async def test_who_is_removed_is_told_so(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.member)
    await expect(page.get_by_role("region", name="Your usage")).to_be_visible()
    await org.world.done("DELETE", f"{org.path}/members/{org.member}", of=org.owner)
    await expect(page.get_by_text("You are not in any organization yet")).to_be_visible()


# Scripts in names, ids, products, models and reasons.


async def test_text_that_people_and_products_control_stays_text(browsing: Browsing, stack: GateWorld) -> None:
    world, org = stack, await make(stack)
    evil_org = f"{org.org_id}{EVIL_ID}"
    at = f"/v1/organizations/{quote(evil_org, safe='')}"
    member = f"{org.member}{EVIL_ID}"
    await world.done("PUT", at, {"plan": "enterprise", "primary_owner": org.owner}, of=BILLING)
    await world.done("PUT", f"{at}/credits/enabled", {"enabled": True}, of=org.owner)
    await world.done("PUT", f"{at}/members/{quote(member, safe='')}", {}, of=org.owner)
    await world.done("POST", f"{at}/credit-requests", {"kind": "credits"}, of=member)
    event = usage(f"x{EVIL}", evil_org, 150, member, product=EVIL, source=EVIL_TOO)
    unknown_model = event | {"event_id": f"y{EVIL}", "model": EVIL}
    await world.done("POST", "/v1/events", [event, unknown_model], of=PRODUCT)
    bad = {"headers": {"idempotency-key": EVIL}}
    refused = await world.call("PUT", f"{at}/spend-limit", {"limit_usd": "1.00"}, of=member, **bad)
    assert refused.status_code == 403
    page = await browsing.stranger()
    await sign_in(page, browsing.url, org.owner)
    await page.goto(f"/settings/usage?org={quote(evil_org, safe='')}")
    await expect(page.locator("#subtitle")).to_contain_text(evil_org)
    await expect(page.locator("#products")).to_contain_text(EVIL)
    await expect(page.locator("#history-rows")).to_contain_text(f"{member} was refused")
    await expect(page.locator("#members-rows")).to_contain_text(member)
    await page.get_by_role("button", name="Review requests").click()
    dialog = page.get_by_role("dialog", name="Review requests")
    await expect(dialog).to_contain_text(member)
    await dialog.get_by_label("New monthly limit (USD)").fill(EVIL)
    await dialog.get_by_role("button", name="Increase limit").click()
    await expect(dialog.locator(".problem")).to_contain_text("Enter dollars and cents")
    await dialog.get_by_role("button", name="Close").click()
    await page.get_by_role("searchbox").fill(EVIL)
    await expect(page.locator("#members-empty")).to_contain_text(EVIL)
    assert await page.locator("img, svg[onload], main u, main script").count() == 0
    await page.goto(f"/sign-in?problem={quote(EVIL)}")
    assert EVIL not in await page.content()


async def test_the_policy_lets_nothing_in_from_elsewhere(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    answer = await page.request.get("/settings/usage")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    outside = await page.evaluate("performance.getEntriesByType('resource').map((each) => new URL(each.name).origin)")
    assert set(outside) == {browsing.url}
    blocked = await page.evaluate(
        "() => { try { document.body.insertAdjacentHTML('beforeend', '<b>') } catch (error) { return error.name } }"
    )
    assert blocked == "TypeError"
    browsing.complaints.clear()  # Chromium says so, too


# Sessions.


async def test_the_cookie_is_out_of_reach_and_rotates(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    [first] = await page.context.cookies()
    assert (first["httpOnly"], first["sameSite"], first["path"]) == (True, "Strict", "/")
    assert await page.evaluate("document.cookie") == ""
    await page.reload()
    await page.locator("main[aria-busy=false]").wait_for()
    [second] = await page.context.cookies()
    assert second["value"] != first["value"]
    await sign_in(page, browsing.url, org.member)
    [third] = await page.context.cookies()
    assert third["value"] not in (first["value"], second["value"])


async def test_a_session_changes_nothing_without_our_page_and_its_token(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    good = {"origin": browsing.url, "x-csrf-token": await token(page)}
    other = await browsing.person(org.admin)
    path = f"{org.path}/members/{org.member}/credits/enabled"
    for headers, code in (
        ({}, "not_our_page"),
        ({"origin": browsing.url}, "csrf"),
        (good | {"x-csrf-token": await token(other)}, "csrf"),
        (good | {"origin": "https://evil.example"}, "not_our_page"),
        ({"x-csrf-token": good["x-csrf-token"]}, "not_our_page"),
        (good | {"sec-fetch-site": "cross-site"}, "not_our_page"),
    ):
        answer = await page.request.put(path, headers=headers, data={"enabled": False})
        assert (answer.status, (await answer.json())["code"]) == (403, code), headers
    assert (await org.get(f"/members/{org.member}"))["credits_enabled"] is None
    answer = await page.request.put(path, headers=good, data={"enabled": False})
    assert answer.status == 200


async def test_a_form_on_another_site_cannot_sign_anybody_in_or_change_anything(
    browsing: Browsing, org: Organization
) -> None:
    page = await browsing.person(org.owner)
    answer = await page.request.post(
        "/sign-in/demo", form={"user_id": "mallory"}, headers={"origin": "https://evil.example"}, max_redirects=0
    )
    assert answer.status == 403
    await page.goto("about:blank")
    await page.set_content(
        f'<form method="post" enctype="text/plain" action="{browsing.url}{org.path}/close"><button>Win</button></form>'
    )
    async with page.expect_navigation():
        await page.get_by_role("button").click()
    assert '"status":401' in (await page.content()).replace("&quot;", '"')  # SameSite: the cookie stays at home
    assert (await org.get())["status"] == "active"


async def test_signing_out_ends_the_session_and_every_copy_of_it(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    cookies = await page.context.cookies()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are signed out.")).to_be_visible()
    assert await page.context.cookies() == []
    await page.context.add_cookies(cookies)  # type: ignore[arg-type]
    assert (await page.request.get("/v1/me")).status == 401


@pytest.mark.parametrize("bad", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvbGdhIn0."])
async def test_a_cookie_that_nobody_made_is_nobody(browsing: Browsing, bad: str) -> None:
    page = await browsing.stranger()
    await page.context.add_cookies([{"name": "usage-credits-session", "value": bad, "url": browsing.url}])
    assert (await page.request.get("/v1/me")).status == 401
    await page.goto("/settings/usage")
    await expect(page.get_by_role("heading", name="Sign in to usage credits")).to_be_visible()


async def test_a_session_that_ends_in_front_of_the_page_is_told_and_a_newcomer_is_told_nothing(
    browsing: Browsing, org: Organization
) -> None:
    page = await browsing.person(org.owner)
    await page.context.clear_cookies()
    await page.get_by_role("switch", name="Usage credits", exact=True).click()
    await expect(page.get_by_text("Your session has ended.")).to_be_visible()
    await page.goto("/settings/usage")
    await expect(page.get_by_role("heading", name="Sign in to usage credits")).to_be_visible()
    await expect(page.get_by_text("Your session has ended.")).to_have_count(0)


async def test_who_signs_in_in_another_tab_is_who_this_one_is_of_from_then_on(
    browsing: Browsing, org: Organization
) -> None:
    page = await browsing.stranger()
    await page.clock.install()
    await sign_in(page, browsing.url, org.owner)
    await page.goto("/settings/usage")
    await expect(page.locator("#who")).to_contain_text(org.owner)
    await sign_in(page, browsing.url, org.admin)
    await page.clock.fast_forward("05:01")
    await expect(page.locator("#who")).to_contain_text(org.admin)
    await expect(page.get_by_role("button", name="Adjust limit")).to_be_hidden()


# Everybody can use it.


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(browsing: Browsing, org: Organization, scheme: Any) -> None:
    await org.put("/spend-limit", {"limit_usd": "4.00"})
    await org.put("/seat-tiers/standard/spend-limit", {"limit_usd": "1.00"})
    await org.spends(org.member, 350)
    await org.world.done("POST", f"{org.path}/credit-requests", {"kind": "credits"}, of=org.member)
    owner = await browsing.person(org.owner, color_scheme=scheme, bypass_csp=True)
    await expect(owner.locator("#history-rows li").first).to_be_visible()
    await clean(owner, "the owner's page")
    for button, dialog in (("Adjust limit", "Adjust limit"), ("Review requests", "Review requests")):
        await owner.get_by_role("button", name=button).click()
        await expect(owner.get_by_role("dialog", name=dialog)).to_be_visible()
        await clean(owner, dialog)
        await owner.keyboard.press("Escape")
    await owner.get_by_role("button", name=f"Actions for {org.member}").click()
    await clean(owner, "the menu")
    member = await browsing.person(
        org.member, color_scheme=scheme, bypass_csp=True, viewport={"width": 390, "height": 844}
    )
    await clean(member, "the member's page on a phone")
    await member.goto("/sign-in")
    await clean(member, "signing in")


async def clean(page: Page, what: str) -> None:
    found = await Axe().run(page)
    assert found.violations_count == 0, f"{what}: {found.generate_report()}"


async def test_all_of_it_works_by_keyboard(browsing: Browsing, org: Organization) -> None:
    page = await browsing.person(org.owner)
    more = page.get_by_role("button", name=f"Actions for {org.member}")
    await more.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menuitem", name="Edit limit")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_role("menuitem", name="Change seat to Premium")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(more).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await page.get_by_label("Set dollar amount").check()
    await page.get_by_label("Monthly limit (USD)").fill("3")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("row", name=org.member)).to_contain_text("$3.00")
    await expect(more).to_be_focused()
