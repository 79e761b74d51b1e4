"""Where mails leave: what real mail servers say, and what that means for a mail; and a folder in place of one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Mendable
from pipeline.mailer.letters import letter_of
from pipeline.mailer.message import message_of
from pipeline.mailer.notices import notice_of
from pipeline.mailer.outlet import Away, NotNow, Refused, outlet_of
from pipeline.settings import Settings
from schemas.contacts import Contact
from schemas.events import envelope
from tests.support.mail_world import LOGIN, Inbox, make_certificate
from tests.support.notices import breach

MIA = "mia@example.com"
NAME = "mia-example-com-acme-has-reached-its-spend-limit-id1"


@asynccontextmanager
async def served(inbox: Inbox) -> AsyncIterator[Inbox]:
    await inbox.start()
    try:
        yield inbox
    finally:
        await inbox.stop()


def settings_of(inbox: Inbox, **more: Any) -> Settings:
    named = {"smtp_host": "127.0.0.1", "smtp_port": inbox.port, "mail_from": "Usage <usage@example.com>"}
    return Settings(**named | {"smtp_security": "none"} | more)


async def send(settings: Settings, address: str = MIA) -> None:
    notice = notice_of(envelope(breach("acme")))
    assert notice is not None
    letter = letter_of(notice, lambda user_id: None)
    outlet = outlet_of(settings)
    try:
        await outlet.send(message_of(letter, "id-1", outlet.sender, Contact(email=address), None), address)
    finally:
        await outlet.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("250 OK", None),
        ("550 no such mailbox", Refused),
        ("452 mailbox full", NotNow),
        ("530 log in first", Away),
    ],
)
async def test_what_is_said_of_an_address_ends_or_puts_off_that_mail(answer: str, expected: Any) -> None:
    inbox = Inbox()
    if expected is not None:
        inbox.answers[MIA] = [answer]
    async with served(inbox):
        if expected is None:
            await send(settings_of(inbox))
            assert inbox.addresses() == [MIA]
            return
        with pytest.raises(expected) as error:
            await send(settings_of(inbox))
        assert answer[:3] in str(error.value)
        assert answer[4:] not in str(error.value)


@pytest.mark.parametrize("address", ["a..b@example.com", ".a@example.com", "a.@x", "!#$%&'*+/=?^_`{|}~-@example.com"])
async def test_every_address_that_a_contact_may_have_gets_its_mail(address: str) -> None:
    """HTML's e-mail fields take more than standard mail headers do without quotes."""
    async with served(Inbox()) as inbox:
        await send(settings_of(inbox), address)
        assert inbox.asked == [address]
        assert len(inbox.mails) == 1


async def test_what_is_wrong_with_us_is_held_against_no_mail(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with served(Inbox(certificate)) as secured, served(Inbox()) as plain:
        trusted = {"smtp_security": "starttls", "smtp_ca_file": certificate[0]}
        login = {"smtp_username": LOGIN[0], "smtp_password": LOGIN[1]}
        wrong = {
            "does not take mails from .*: 530": settings_of(secured, **trusted),
            r"login as usage \(SMTP_USERNAME\) is refused: 535": settings_of(
                secured, **trusted, **login | {"smtp_password": "x"}
            ),
            "from usage@example.com: 530": settings_of(secured),  # in clear
            "CERTIFICATE_VERIFY_FAILED": settings_of(secured, smtp_security="starttls", **login),
            "STARTTLS extension not supported": settings_of(plain, **trusted),
            "Connect call failed": settings_of(Inbox()),
        }
        for says, settings in wrong.items():
            with pytest.raises(Away, match=says):
                await send(settings)
        assert not secured.mails
        assert not plain.mails
        await send(settings_of(secured, **trusted, **login))
        assert secured.addresses() == [MIA]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"smtp_host": None}, "SMTP_HOST"),
        ({"mail_from": None}, "MAIL_FROM"),
        ({"mail_from": "nobody"}, "MAIL_FROM"),
        ({"smtp_username": "usage"}, "SMTP_USERNAME"),
    ],
)
def test_settings_that_cannot_do_are_named(more: dict[str, Any], named: str) -> None:
    with pytest.raises(Mendable, match=named):
        outlet_of(settings_of(Inbox(), **more))


def folder_settings(folder: Path) -> Settings:
    return settings_of(Inbox(), smtp_host=None, mail_dir=folder)


async def test_without_a_server_mails_lie_in_a_folder_for_mail_programs_and_browsers(tmp_path: Path) -> None:
    for _ in range(2):  # the second time it is the same mail
        await send(folder_settings(tmp_path / "mails"))
    eml, html = sorted((tmp_path / "mails").iterdir())
    assert (eml.name, html.name) == (f"{NAME}.eml", f"{NAME}.html")
    mail = message_from_bytes(eml.read_bytes(), policy=default)
    assert (mail["To"], mail["Subject"]) == (MIA, "acme has reached its spend limit")
    assert "The usage credits of all members are paused" in html.read_text()


async def test_a_folder_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "mails").write_text("a file")
    with pytest.raises(Away, match=r"File exists: .*mails"):
        await send(folder_settings(tmp_path / "mails"))


async def test_a_server_that_is_named_is_preferred_to_a_folder(tmp_path: Path) -> None:
    async with served(Inbox()) as inbox:
        await send(settings_of(inbox, mail_dir=tmp_path / "mails"))
        assert inbox.addresses() == [MIA]
    assert not (tmp_path / "mails").exists()
