"""Contacts over HTTP: who may set them, what the ledger hears, and that what it allowed is written (R37a)."""

import asyncio
import json
from typing import Any

import pytest

from pipeline.demo.reading import read_topics
from pipeline.embedded.ports import free_port
from pipeline.topics import ACCOUNT_COMMANDS, ACCOUNT_EVENTS, MEMBER_CONTACTS
from tests.support.gate_world import BILLING, PRODUCT, GateWorld, process, usage
from tests.support.mail_world import mail_world, texts_of

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

GLOBEX = "/v1/organizations/globex"


def path(user_id: str) -> str:
    return f"{GLOBEX}/members/{user_id}/contact"


@pytest.fixture
async def member(gate: GateWorld, fresh_name: Any) -> str:
    """A member of globex whom no other test knows."""
    user_id = fresh_name("member")
    await gate.done("PUT", f"{GLOBEX}/members/{user_id}", {}, of="olga")
    return str(user_id)


async def test_who_writes_a_contact_reads_it_and_what_is_not_named_stays(gate: GateWorld, member: str) -> None:
    first = await gate.done("PATCH", path(member), {"email": "a@example.com", "display_name": "A B"}, of=member)
    second = await gate.done("PATCH", path(member), {"notices": {"breaches": False}}, of="olga")
    assert first["notices"] == {"digest": True, "breaches": True, "thresholds": True, "balance": True}
    assert second == first | {"notices": first["notices"] | {"breaches": False}}
    for who in (member, "olga"):
        assert await gate.done("GET", path(member), of=who) == second
    third = await gate.done("PATCH", path(member), {"email": None, "notices": None}, of=member)
    assert third == first | {"email": None}


async def test_names_are_shown_and_found_where_members_are(gate: GateWorld, member: str) -> None:
    await gate.done("PATCH", path(member), {"display_name": "Zoë Quist"}, of="olga")
    assert (await gate.done("GET", f"{GLOBEX}/members/{member}", of="adam"))["display_name"] == "Zoë Quist"
    found = await gate.done("GET", f"{GLOBEX}/members?search=zoë q", of="adam")
    assert [one["user_id"] for one in found["members"]] == [member]


async def test_contacts_are_their_members_and_owners_alone(gate: GateWorld, member: str) -> None:
    for who in ("adam", "mia", "io", BILLING):
        for method, body in (("GET", None), ("PATCH", {"display_name": "X"}), ("DELETE", None)):
            answer = await gate.call(method, path(member), body, of=who)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), (who, method)
    assert (await gate.done("GET", path(member), of="olga"))["display_name"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"phone": "1"},
        {"email": "a@b\nBcc: c@d"},
        {"display_name": ""},
        {"notices": {"sms": True}},
        {"notices": {"digest": "no"}},
    ],
)
async def test_what_is_no_contact_is_refused_without_repeating_it(gate: GateWorld, member: str, body: Any) -> None:
    answer = await gate.call("PATCH", path(member), body, of=member)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "Bcc" not in answer.text


async def written(gate: GateWorld, user_id: str) -> list[Any]:
    records = (await read_topics(gate.settings, [MEMBER_CONTACTS]))[MEMBER_CONTACTS.name]
    return [
        record.value and json.loads(record.value)
        for record in records
        if record.key.decode() == f'["globex","{user_id}"]'
    ]


async def test_what_a_contact_says_lies_in_one_topic_and_an_erasure_is_a_tombstone(
    gate: GateWorld, member: str
) -> None:
    said = {"email": "secret@example.com", "display_name": "Secret Name"}
    await gate.done("PATCH", path(member), said, of=member)
    await gate.done("PUT", f"{GLOBEX}/members/{member}/role", {"role": "admin"}, of="olga")
    await gate.done("DELETE", f"{GLOBEX}/members/{member}", of="olga")
    erased = await gate.done("DELETE", path(member), of="olga")  # of a removed member, too
    assert (erased["email"], erased["display_name"]) == (None, None)
    (value, tombstone) = await written(gate, member)
    assert {name: value[name] for name in said} == said
    assert tombstone is None
    others = await read_topics(gate.settings, [ACCOUNT_COMMANDS, ACCOUNT_EVENTS])
    for records in others.values():
        mine = [record.value for record in records if member.encode() in record.value]
        assert any(b'"set_contact"' in value for value in mine)
        assert not any(b"ecret" in value for value in mine)
    for log in gate.settings.data_dir.glob("*.log"):
        assert "ecret" not in log.read_text()


async def test_allowed_and_not_written_it_is_written_when_it_is_sent_again(gate: GateWorld, member: str) -> None:
    """A gate that ended between the ledger's answer and the contact: all that is left of it is the ledger's memory."""
    key = {"headers": {"idempotency-key": f"key-{member}"}}
    said = {"email": "again@example.com"}
    await gate.done("PATCH", path(member), said, of=member, **key)
    # As it was before: a tombstone that is not ours takes the contact away as if it had never been written.
    await erased_by_hand(gate, member)
    again = await gate.done("PATCH", path(member), said, of=member, **key)
    assert again["email"] == "again@example.com"
    other = await gate.call("PATCH", path(member), {"email": "other@example.com"}, of=member, **key)
    assert (other.status_code, other.json()["code"]) == (409, "command_id_reused")


async def erased_by_hand(gate: GateWorld, user_id: str) -> None:
    from pipeline.sending import Sender

    sender = Sender(gate.settings.kafka(), 10)
    topic = gate.settings.topic_prefix + MEMBER_CONTACTS.name
    await sender.send(topic, f'["globex","{user_id}"]'.encode(), [None])
    await sender.stop()
    async with asyncio.timeout(30):
        while (await gate.done("GET", path(user_id), of="olga"))["email"] is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_sent_again_after_an_erasure_or_a_later_change_it_changes_nothing(gate: GateWorld, member: str) -> None:
    keys = [{"headers": {"idempotency-key": f"{n}-{member}"}} for n in range(2)]
    await gate.done("PATCH", path(member), {"email": "a@example.com", "display_name": "A"}, of=member, **keys[0])
    await gate.done("PATCH", path(member), {"email": "b@example.com"}, of=member, **keys[1])
    repeated = await gate.done(
        "PATCH", path(member), {"email": "a@example.com", "display_name": "A"}, of=member, **keys[0]
    )
    assert (repeated["email"], repeated["display_name"]) == ("b@example.com", "A")
    await gate.done("DELETE", path(member), of="olga")
    # A gate that starts now knows it from the tombstone alone.
    port = free_port()
    with process(gate.settings.model_copy(update={"gate_port": port}), "gate"):
        import httpx

        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            fresh = GateWorld(gate.settings, http)
            await fresh.ready()
            late = await fresh.done("PATCH", path(member), {"email": "b@example.com"}, of=member, **keys[1])
            assert late["email"] is None
    assert (await gate.done("GET", path(member), of="olga"))["email"] is None
    assert (await written(gate, member))[-1] is None


async def test_who_reaches_their_limit_is_told_at_the_address_they_set(gate: GateWorld, member: str) -> None:
    async with mail_world(gate.settings) as world:
        await gate.done("PATCH", path(member), {"email": "told@example.com"}, of=member)
        await gate.done("PUT", f"{GLOBEX}/members/{member}/spend-limit", {"limit_usd": "0.10"}, of="olga")
        with process(world.settings, "mailer"):
            await gate.done("POST", "/v1/events", usage(f"told-{member}", "globex", 6, member), of=PRODUCT)
            await world.inbox.until(lambda: len(world.inbox.of("told@example.com")) == 1)
            await gate.done("POST", "/v1/events", usage(f"more-{member}", "globex", 5, member), of=PRODUCT)
            await world.inbox.until(lambda: len(world.inbox.of("told@example.com")) == 3)
    assert {mail["Subject"]: texts_of(mail)[0][:14] for mail in world.inbox.mails} == {
        "50% of your spend limit in globex has been used": "$0.06 of $0.10",
        "80% of your spend limit in globex has been used": "$0.11 of $0.10",
        "You have reached your spend limit in globex": "$0.11 of $0.10",
    }


async def test_two_gates_that_write_at_once_lose_nothing(gate: GateWorld, member: str) -> None:
    port = free_port()
    with process(gate.settings.model_copy(update={"gate_port": port}), "gate"):
        import httpx

        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            second = GateWorld(gate.settings, http)
            await second.ready()
            for number in range(10):
                await asyncio.gather(
                    gate.done("PATCH", path(member), {"email": f"m{number}@example.com"}, of=member),
                    second.done("PATCH", path(member), {"display_name": f"M {number}"}, of="olga"),
                )
                last = (await written(gate, member))[-1]
                assert (last["email"], last["display_name"]) == (f"m{number}@example.com", f"M {number}")
