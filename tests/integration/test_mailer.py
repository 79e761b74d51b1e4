"""A mailer on a real Kafka and a real mail server, with STARTTLS and login: who gets which mail, and what it says."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from email.headerregistry import Address
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.mailer.folder import Folder
from pipeline.mailer.service import ERRORS, run_mailer
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import CREDIT_STATUS
from schemas.contacts import Notices
from schemas.instants import MICROS_PER_HOUR
from schemas.status import MemberStatus
from tests.support.gate_world import process
from tests.support.mail_world import MailWorld, mail_world, texts_of
from tests.support.notices import (
    PREMIUM,
    auto_reload_suspended,
    balance_low,
    breach,
    digest,
    own,
    request,
    threshold,
)

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
async def mailing(kafka: EmbeddedKafka, server_dir: Path, fresh_name: Callable[[str], str]) -> AsyncIterator[MailWorld]:
    """One running mailer for all tests of this file; each has an organisation of its own."""
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=fresh_name("mail") + ".",
        partitions=2,
        data_dir=server_dir / fresh_name("mail"),
    )
    async with mail_world(settings, secured=True) as world:
        with process(world.settings, "mailer"):
            yield world


def people(world: MailWorld, org_id: str) -> tuple[str, str, str]:
    """A member, an admin and a primary owner: their addresses."""
    return (
        world.member(org_id, "mia"),
        world.member(org_id, "adam", "admin"),
        world.member(org_id, "olga", "primary_owner"),
    )


async def settled(world: MailWorld, org_id: str, at_micros: int = 0) -> None:
    """Wait until all that was told of an organisation before is mailed: a last notice comes behind it."""
    address = world.member(org_id, "last")
    before = len(world.inbox.of(address))
    await world.tell(breach(org_id, own("last")), threshold(org_id, 50, own("last")), at_micros=at_micros)
    await world.inbox.until(lambda: len(world.inbox.of(address)) == before + 2)


async def test_a_digest_goes_to_admins_and_above_once_each_with_all_requests(mailing: MailWorld) -> None:
    mia, adam, olga = people(mailing, "digests")
    mailing.member("digests", "bruno", display_name="Bruno Bauer")
    await mailing.tell(digest("digests", request("bruno", 1234), request("mia", 0, "premium")))
    await settled(mailing, "digests")
    assert not mailing.inbox.of(mia)
    for address in (adam, olga):
        (mail,) = mailing.inbox.of(address)
        assert mail["Subject"] == "digests: 2 requests are waiting for review"
        text, html = texts_of(mail)
        for row in (
            ("Bruno Bauer (bruno)", "Premium seat", "Standard", "9 May 2026, 07:45", "$12.34"),
            ("mia", "Usage credits", "Premium", "9 May 2026, 07:45", "$0.00"),
        ):
            assert any(line.split("  ")[0].strip() == row[0] and line.endswith(row[-1]) for line in text.splitlines())
            assert all(cell in text and f">{cell}</td>" in html for cell in row)


async def test_a_digest_in_parts_is_one_mail(mailing: MailWorld) -> None:
    _, adam, _ = people(mailing, "parts")
    parts = [digest("parts", request(f"m{n}"), request(f"n{n}"), part=n, parts=3) for n in (1, 2, 3)]
    await mailing.tell(*parts)
    await settled(mailing, "parts")
    (mail,) = mailing.inbox.of(adam)
    assert mail["Subject"] == "parts: 6 requests are waiting for review"
    text, _ = texts_of(mail)
    assert [line.split()[0] for line in text.splitlines() if "Premium seat" in line] == [
        f"{letter}{n}" for n in (1, 2, 3) for letter in "mn"
    ]


async def test_limits_are_told_to_whom_they_concern(mailing: MailWorld) -> None:
    mia, adam, olga = people(mailing, "limits")
    await mailing.tell(
        breach("limits", own("mia"), limit_cents=200),
        breach("limits", PREMIUM),
        breach("limits", over_cents=0),
        threshold("limits", 80, own("mia"), limit_cents=200),
        threshold("limits", 50, PREMIUM),
        threshold("limits", 80),
        threshold("limits", 100),
    )
    await settled(mailing, "limits")
    mine = {mail["Subject"]: texts_of(mail)[0] for mail in mailing.inbox.of(mia)}
    assert set(mine) == {
        "You have reached your spend limit in limits",
        "80% of your spend limit in limits has been used",
    }
    assert mine["You have reached your spend limit in limits"].startswith(
        "$2.01 of $2.00 was spent in May 2026.\n\n"
        "Your usage credits are paused until 1 June 2026, 00:00 UTC or until an owner raises the limit."
    )
    # What passes 100 % is told as the breach it is, and not twice.
    theirs = [
        "50% of the spend limit of limits's Premium seats has been used",
        "80% of the spend limit of limits has been used",
        "The Premium seats of limits have reached their spend limit",
        "limits has reached its spend limit",
    ]
    for address in (adam, olga):
        assert sorted(mail["Subject"] for mail in mailing.inbox.of(address)) == theirs
    pooled = {mail["Subject"]: texts_of(mail)[0] for mail in mailing.inbox.of(olga)}
    assert pooled["limits has reached its spend limit"].startswith("$15.00 of $15.00 was spent in May 2026.\n")


async def test_money_is_told_to_owners(mailing: MailWorld) -> None:
    mia, adam, olga = people(mailing, "money")
    second = mailing.member("money", "oscar", "owner")
    await mailing.tell(balance_low("money"), auto_reload_suspended("money"))
    await settled(mailing, "money")
    assert not mailing.inbox.of(mia, adam)
    for address in (olga, second):
        low, suspended = mailing.inbox.of(address)
        # A balance is rounded down: a picodollar below ten dollars is not ten dollars.
        assert low["Subject"] == "The balance of money is low: $9.99"
        assert "you asked to be told at $10.00" in texts_of(low)[0]
        assert suspended["Subject"] == "Auto-reload of money is suspended"
        assert "could not be paid" in texts_of(suspended)[0]


async def test_what_is_switched_off_has_no_address_or_was_removed_gets_nothing(mailing: MailWorld) -> None:
    off = {
        "d": mailing.member("quiet", "d", "owner", notices=Notices(digest=False)),
        "b": mailing.member("quiet", "b", "owner", notices=Notices(breaches=False)),
        "t": mailing.member("quiet", "t", "owner", notices=Notices(thresholds=False)),
        "m": mailing.member("quiet", "m", "owner", notices=Notices(balance=False)),
    }
    mailing.member("quiet", "nowhere", "owner", email=None, display_name="No Where")
    gone = mailing.member("quiet", "gone", "owner", removed=True)
    told = [digest("quiet", request("x")), breach("quiet"), threshold("quiet", 50)]
    await mailing.tell(*told, balance_low("quiet"), auto_reload_suspended("quiet"), breach("quiet", own("gone")))
    await settled(mailing, "quiet")
    kinds = {
        "d": "quiet: 1 request is waiting for review",
        "b": "quiet has reached its spend limit",
        "t": "50% of the spend limit of quiet has been used",
    }
    money = {"The balance of quiet is low: $9.99", "Auto-reload of quiet is suspended"}
    for who, address in off.items():
        subjects = {mail["Subject"] for mail in mailing.inbox.of(address)}
        assert subjects == {*kinds.values(), *money} - (money if who == "m" else {kinds[who]})
    assert not mailing.inbox.of(gone)
    assert "to nowhere of quiet" not in mailing.log()


async def test_an_address_that_is_refused_harms_no_other_and_is_recorded(mailing: MailWorld) -> None:
    bad = mailing.member("refused", "a-bad", "owner")
    good = mailing.member("refused", "b-good", "owner")
    mailing.inbox.answers[bad] = [f"550 5.1.1 <{bad}>: no such mailbox"]
    await mailing.tell(breach("refused"), balance_low("refused"))
    await settled(mailing, "refused")
    assert len(mailing.inbox.of(good)) == 2
    assert mailing.inbox.asked.count(bad) == 2  # once for each mail: it is not tried again
    became = [(mail["user_id"], mail["outcome"], mail["smtp_code"]) for mail in await mailing.remembered("refused")]
    assert became[:4] == [("a-bad", "refused", 550), ("b-good", "sent", None)] * 2
    assert "to a-bad of refused: refused with 550" in mailing.log()


async def test_an_address_that_is_put_off_is_tried_again_and_holds_nobody_up(mailing: MailWorld) -> None:
    slow = mailing.member("slow", "a-slow", "owner")
    quick = mailing.member("slow", "b-quick", "owner")
    mailing.inbox.answers[slow] = ["451 4.7.1 greylisted, come back later", "250 OK"]
    await mailing.tell(breach("slow"))
    await mailing.inbox.until(lambda: mailing.inbox.asked.count(slow) == 1 and bool(mailing.inbox.of(quick)))
    del mailing.inbox.answers[slow]
    await mailing.inbox.until(lambda: len(mailing.inbox.of(slow)) == 1)
    assert len(mailing.inbox.of(quick)) == 1
    assert mailing.inbox.asked.count(slow) == 2


class Tags(HTMLParser):
    """The elements of a page, and whatever they load or link to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.refers: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.refers += [value or "" for name, value in attrs if name in ("href", "src", "style") or name[:2] == "on"]


HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(2)> \"' &amp; $subject"


async def test_hostile_names_stay_text(mailing: MailWorld) -> None:
    org_id, user_id = "<b>org</b>&\"'", "<u>$body</u>\"';--"
    adam = mailing.member(org_id, "adam", "admin", email="adam@hostile.example", display_name='"Adam" <a@b>, x:;')
    mailing.member(org_id, user_id, email=None, display_name=HOSTILE)
    await mailing.tell(digest(org_id, request(user_id)))
    await mailing.inbox.until(lambda: bool(mailing.inbox.of(adam)))
    (mail,) = mailing.inbox.of(adam)
    assert [(to.display_name, to.addr_spec) for to in mail["To"].addresses] == [('"Adam" <a@b>, x:;', adam)]
    assert org_id in mail["Subject"]
    text, html = texts_of(mail)
    assert f"{HOSTILE} ({user_id})" in text
    tags = Tags(html)
    assert not tags.names & {"script", "img", "b", "u"}
    assert tags.refers == ["https://usage.example.com/?from=mail&to=page"]


async def test_no_mail_carries_another_name_than_its_own_and_no_log_an_address(mailing: MailWorld) -> None:
    people(mailing, "ids")
    await mailing.tell(breach("ids"), threshold("ids", 50))
    await settled(mailing, "ids")
    ids = [mail["Message-ID"] for mail in mailing.inbox.mails]
    assert len(set(ids)) == len(ids)
    assert all(message_id.endswith("@example.com>") for message_id in ids)
    assert all(mail["Auto-Submitted"] == "auto-generated" for mail in mailing.inbox.mails)
    assert ".example" not in mailing.log().replace("usage@example.com", "")
    assert ".example" not in str(await mailing.remembered())


async def test_what_is_older_than_mail_hours_is_not_made_up(
    kafka: EmbeddedKafka, server_dir: Path, fresh_name: Callable[[str], str]
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=fresh_name("mail") + ".",
        partitions=1,
        mode="replay",  # where a record is as old as its producer says
        mail_hours=24,
        data_dir=server_dir / fresh_name("mail"),
    )
    now_micros = time.time_ns() // 1_000
    async with mail_world(settings) as world:
        olga = world.member("acme", "olga", "owner")
        await world.tell(breach("acme"), at_micros=now_micros - 24 * MICROS_PER_HOUR)
        await world.tell(balance_low("acme"), at_micros=now_micros - 23 * MICROS_PER_HOUR)
        with process(world.settings, "mailer"):
            await settled(world, "acme", at_micros=now_micros)
    assert [mail["Subject"] for mail in world.inbox.of(olga)] == ["The balance of acme is low: $9.99"]


class Stumbling(Folder):
    """A folder that has a bug with one address."""

    async def send(self, message: EmailMessage, address: str) -> None:
        if address.startswith("a-odd@"):
            raise RuntimeError(f"a bug with {address}")
        await super().send(message, address)


async def test_a_bug_with_one_notice_or_one_mail_costs_no_other(
    kafka: EmbeddedKafka, server_dir: Path, fresh_name: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=fresh_name("mail") + ".",
        partitions=1,
        data_dir=server_dir / fresh_name("mail"),
    )
    folder = settings.data_dir / "mails"
    before = ERRORS._value.get()
    async with mail_world(settings) as world:
        for user_id in ("a-odd", "b-plain"):
            world.member("acme", user_id, "owner")
        newer = MemberStatus(org_id="newer", org_seq=1, user_id="eve", role="owner")
        value = newer.value().replace(b'"owner"', b'"a role of a newer program"')
        await publish(world.settings, [Outgoing(CREDIT_STATUS.name, newer.key(), value, 0, 0)])
        await world.tell(breach("newer"), breach("acme"), balance_low("acme"))
        stop = asyncio.Event()
        outlet = Stumbling(folder, Address("", "usage", "example.com"))
        running = asyncio.create_task(run_mailer(world.settings, outlet, stop))
        while len(list(folder.glob("*.eml"))) < 2 and not running.done():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.05)
        stop.set()
        await running
        # It has not ended: a mended mailer sends it, if it comes before it is too old.
        assert [(mail["user_id"], mail["outcome"]) for mail in await world.remembered()] == [("b-plain", "sent")] * 2
    assert ERRORS._value.get() - before >= 3
    assert "limit-breaches[0] offset 0 is passed over: ValidationError" in caplog.text
    assert "to a-odd of acme: RuntimeError, a bug; again later" in caplog.text
    assert "in send" in caplog.text
    assert "a-odd@" not in caplog.text
