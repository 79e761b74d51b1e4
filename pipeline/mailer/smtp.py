"""A mail and an address come in; that the mail server has it, or why not, goes out."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from pipeline.errors import Mendable
from pipeline.mailer.outlet import SEND_SECONDS, Away, NotNow, Refused, sender_of
from pipeline.settings import Settings

_OURS = {503, 530, 535}
"""What these say is our fault and not the mail's: out of order, login is needed, login is wrong."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails go, and from whom."""

    host: str
    port: int
    security: str
    context: ssl.SSLContext | None
    username: str | None
    password: str | None
    sender: Address


def mail_server(settings: Settings) -> MailServer:
    """The mail server of the settings.

    Raises:
        Mendable: there is no sender, or a password would go in clear.
    """
    assert settings.smtp_host is not None
    in_clear = settings.smtp_security == "none"
    if in_clear and settings.smtp_username is not None:
        raise Mendable("SMTP_SECURITY=none would send the password of SMTP_USERNAME in clear; set starttls or tls")
    cafile = settings.smtp_ca_file and str(settings.smtp_ca_file)
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        context=None if in_clear else ssl.create_default_context(cafile=cafile),
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password is not None else None,
        sender=sender_of(settings),
    )


class Post:
    """The outlet that is a mail server."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._client: SMTP | None = None

    @property
    def name(self) -> str:
        """Where the server is."""
        return f"{self._server.host}:{self._server.port} (SMTP_HOST, SMTP_PORT)"

    @property
    def sender(self) -> Address:
        """Whom the server knows us as."""
        return self._server.sender

    async def send(self, message: EmailMessage, address: str) -> None:
        """Have the server take a mail.

        What it answered is told by its number alone: its words may hold the address.

        Raises:
            Refused, NotNow, Away
        """
        try:
            async with asyncio.timeout(SEND_SECONDS):
                client = await self._connected()
                await client.send_message(message, sender=self._server.sender.addr_spec, recipients=[address])
        except SMTPRecipientsRefused as error:
            raise _judged(error.recipients[0].code) from None
        except SMTPSenderRefused as error:
            raise Away(f"it does not take mails from {self._server.sender.addr_spec}: {error.code}") from None
        except SMTPResponseException as error:
            raise _judged(error.code) from None
        except (SMTPException, OSError) as error:
            await self.close()
            raise NotNow(f"no answer: {type(error).__name__}") from None

    async def close(self) -> None:
        """Say goodbye, if there is somebody."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(SMTPException, OSError):
                async with asyncio.timeout(5):
                    await client.quit()
            client.close()

    async def _connected(self) -> SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=server.context,
            timeout=SEND_SECONDS / 3,
        )
        try:
            await client.connect()
            if server.username is not None:
                await client.login(server.username, server.password or "")
        except BaseException as error:
            client.close()
            if isinstance(error, SMTPAuthenticationError):
                raise Away(f"login as {server.username} (SMTP_USERNAME) is refused: {error.code}") from None
            if isinstance(error, SMTPException | OSError | ValueError):
                raise Away(f"{type(error).__name__}: {error}") from None
            raise
        self._client = client
        return client


def _judged(code: int) -> Exception:
    if code in _OURS:
        return Away(f"it answers {code}")
    return Refused(code) if code >= 500 else NotNow(f"put off with {code}")
