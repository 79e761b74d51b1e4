"""Where mails leave: settings come in; a mail server or a folder goes out, and how either says no."""

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Protocol

from pipeline.errors import Mendable
from pipeline.settings import Settings

SEND_SECONDS = 30.0
"""How long a mail may take, connecting included."""


class Refused(Exception):
    """The server will never take this mail."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with {code}")
        self.code = code


class NotNow(Exception):
    """The server did not take this mail, or did not say whether it did; others may go."""


class Away(Exception):
    """No mail can leave now: the server is away, or does not take any from us."""


class Outlet(Protocol):
    """Takes mails, one after the other."""

    @property
    def name(self) -> str:
        """What it is, and which settings say so."""

    @property
    def sender(self) -> Address:
        """Whom its mails are from."""

    async def send(self, message: EmailMessage, address: str) -> None:
        """Have it take a mail.

        Raises:
            Refused, NotNow, Away
        """

    async def close(self) -> None:
        """Nothing more is sent for a while."""


def outlet_of(settings: Settings) -> Outlet:
    """A mail server where one is named, else a folder.

    Raises:
        Mendable: neither is named, or no sender, or a password would go in clear.
    """
    from pipeline.mailer.folder import Folder
    from pipeline.mailer.smtp import Post, mail_server

    if settings.smtp_host is not None:
        return Post(mail_server(settings))
    if settings.mail_dir is not None:
        return Folder(settings.mail_dir, sender_of(settings))
    raise Mendable("nothing to send mails with: set SMTP_HOST and MAIL_FROM (docs/mail.md)")


def sender_of(settings: Settings) -> Address:
    """The sender of all mails.

    Raises:
        Mendable: it is none.
    """
    name, address = parseaddr(settings.mail_from or "")
    try:
        sender = Address(name, addr_spec=address)
    except (ValueError, IndexError, MessageError):
        sender = Address()
    if not sender.username or not sender.domain:
        raise Mendable(f"MAIL_FROM={settings.mail_from!r} is no sender like: Usage credits <usage@example.com>")
    return sender
