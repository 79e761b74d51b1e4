"""What a mail server says, and what that means for the mail: real servers, on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Mendable
from pipeline.mailer.letters import letter_of
from pipeline.mailer.message import message_of
from pipeline.mailer.notices import notice_of
from pipeline.mailer.smtp import NotNow, Post, Refused, ServerAway, mail_server
from pipeline.settings import Settings
from schemas.contacts import Contact
from schemas.events import envelope
from tests.support.mail_world import LOGIN, Inbox, make_certificate
from tests.support.notices import breach

MIA = "mia@example.com"


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


async def send(settings: Settings) -> None:
    server = mail_server(settings)
    notice = notice_of(envelope(breach("acme")))
    assert notice is not None
    letter = letter_of(notice, lambda user_id: None)
    post = Post(server)
    try:
        await post.send(message_of(letter, "id-1", server.sender, Contact(email=MIA), None), MIA)
    finally:
        await post.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("250 OK", None),
        ("550 no such mailbox", Refused),
        ("452 mailbox full", NotNow),
        ("530 log in first", ServerAway),
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


async def test_what_is_wrong_with_us_is_held_against_no_mail(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with served(Inbox(certificate)) as secured, served(Inbox()) as plain:
        trusted = {"smtp_security": "starttls", "smtp_ca_file": certificate[0]}
        login = {"smtp_username": LOGIN[0], "smtp_password": LOGIN[1]}
        wrong = {
            "without a login": settings_of(secured, **trusted),
            "with a wrong password": settings_of(secured, **trusted, **login | {"smtp_password": "x"}),
            "in clear": settings_of(secured),
            "a certificate nobody knows": settings_of(secured, smtp_security="starttls", **login),
            "no STARTTLS there": settings_of(plain, **trusted),
            "nobody listens": settings_of(Inbox()),
        }
        for settings in wrong.values():
            with pytest.raises(ServerAway):
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
        mail_server(settings_of(Inbox(), **more))
