"""Mails on real parts: Kafka, and a mail server that speaks SMTP; what mailers were told, and what they sent."""

import asyncio
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.contacts import encoded
from pipeline.demo.reading import read_topics
from pipeline.embedded.ports import free_port
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import CREDIT_STATUS, LIMIT_BREACHES, MAILS, MEMBER_CONTACTS, NOTIFICATIONS
from pipeline.topics_admin import create_topics
from schemas.contacts import FIELDS, Contact, contact_key
from schemas.events import LedgerEvent, LimitBreached, envelope
from schemas.organization import Role
from schemas.status import MemberStatus
from tests.support.builders import as_json

PATIENCE_SECONDS = 60.0
LOGIN = ("usage", "correct horse")


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = directory / "mail.crt", directory / "mail.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@dataclass
class Inbox:
    """A mail server that keeps what it is sent.

    Attributes:
        answers: per address, what it says to RCPT instead of 250; one after the other, the last for good.
        on_data: called with each mail before it is answered.
    """

    certificate: tuple[Path, Path] | None = None
    port: int = field(default_factory=free_port)
    mails: list[EmailMessage] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    on_data: Callable[[EmailMessage], Any] = lambda mail: None
    _server: asyncio.Server | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def start(self) -> None:
        """Listen; with a certificate only by STARTTLS, and only to who logs in."""
        more: dict[str, Any] = {}
        if self.certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self.certificate)
            more = {"tls_context": context, "require_starttls": True, "auth_required": True}
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, authenticator=_knows, loop=loop, **more), "127.0.0.1", self.port
        )

    async def stop(self) -> None:
        """Listen no more."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:
        self.asked.append(address)
        said = self.answers.get(address)
        if said:
            return said.pop(0) if len(said) > 1 else said[0]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        assert envelope.rcpt_tos == [address.addr_spec for address in mail["To"].addresses]
        assert max(map(len, envelope.content.split(b"\r\n"))) < 998
        assert envelope.content.isascii()
        self.mails.append(mail)
        async with self._changed:
            self._changed.notify_all()
        waiting = self.on_data(mail)
        if waiting is not None:
            await waiting
        return "250 OK"

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until mails have come that make it so."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(is_so)

    def of(self, *addresses: str) -> list[EmailMessage]:
        """What came to these."""
        return [mail for mail in self.mails if mail["To"].addresses[0].addr_spec in addresses]

    def addresses(self) -> list[str]:
        """To whom mails came, in order."""
        return [mail["To"].addresses[0].addr_spec for mail in self.mails]


def _knows(_: Any, __: Any, ___: Any, mechanism: str, login: Any) -> AuthResult:
    known = isinstance(login, LoginPassword) and (login.login.decode(), login.password.decode()) == LOGIN
    return AuthResult(success=known, handled=False)  # so that the server answers 535


def texts_of(mail: EmailMessage) -> tuple[str, str]:
    """Its plain text and its HTML."""
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content().replace("\r\n", "\n"), html.get_content()


@dataclass
class MailWorld:
    """What mailers read, and what they send."""

    settings: Settings
    inbox: Inbox
    _untold: list[Outgoing] = field(default_factory=list)

    def member(self, org_id: str, user_id: str, role: Role = "member", *, removed: bool = False, **contact: Any) -> str:
        """A member and their contact, from the next notice on; returns the address."""
        address = f"{user_id}@{org_id}.example"
        status = MemberStatus(org_id=org_id, org_seq=1, user_id=user_id, role=role, removed=removed)
        said = Contact(**{"email": address} | contact, changed=dict.fromkeys(FIELDS, 1))
        value, _ = encoded(said)
        assert value is not None
        self._untold += [
            Outgoing(CREDIT_STATUS.name, status.key(), status.value(), 0, 0),
            Outgoing(MEMBER_CONTACTS.name, contact_key(org_id, user_id), value, 0),
        ]
        return said.email or address

    async def tell(self, *events: LedgerEvent, at_micros: int = 0) -> None:
        """What the ledger would publish, after whatever it said of members; its time counts in replay mode alone."""
        await publish(self.settings, self._untold)
        self._untold.clear()
        await publish(
            self.settings,
            [
                Outgoing(
                    (LIMIT_BREACHES if isinstance(event, LimitBreached) else NOTIFICATIONS).name,
                    event.org_id.encode(),
                    as_json(envelope(event)),
                    at_micros,
                )
                for event in events
            ],
        )

    def log(self) -> str:
        """What the mailers said."""
        return (self.settings.data_dir / "mailer.log").read_text()

    async def remembered(self, org_id: str | None = None) -> list[dict[str, Any]]:
        """What lies on `mails`, of all organisations or of one."""
        records = (await read_topics(self.settings, [MAILS]))[MAILS.name]
        mails = [json.loads(record.value) for record in records]
        return [mail for mail in mails if org_id in (None, mail["org_id"])]


@asynccontextmanager
async def mail_world(settings: Settings, *, secured: bool = False) -> AsyncIterator[MailWorld]:
    """Topics and a mail server; no mailer yet."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    certificate = make_certificate(settings.data_dir) if secured else None
    inbox = Inbox(certificate)
    more: dict[str, Any] = {"smtp_security": "none"}
    if certificate is not None:
        more = {"smtp_ca_file": certificate[0], "smtp_username": LOGIN[0], "smtp_password": LOGIN[1]}
    settings = Settings(
        **settings.model_dump()
        | {
            "smtp_host": "127.0.0.1",
            "smtp_port": inbox.port,
            "mail_from": "Usage credits <usage@example.com>",
            "mail_url": "https://usage.example.com/?from=mail&to=page",
        }
        | more
    )
    await create_topics(settings)
    await inbox.start()
    try:
        yield MailWorld(settings, inbox)
    finally:
        await inbox.stop()
