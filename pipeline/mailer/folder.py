"""Mails come in; each lies in a folder as two files, for mail programs and for browsers: to try things out."""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path

from pipeline.mailer.outlet import Away

_NAME_CHARACTERS = 80


class Folder:
    """An outlet that sends nothing: a mail is an `.eml` file, and its HTML part an `.html` file beside it."""

    def __init__(self, directory: Path, sender: Address) -> None:
        self.sender = sender
        self._directory = directory

    @property
    def name(self) -> str:
        """Where the mails lie."""
        return f"the folder {self._directory} (MAIL_DIR)"

    async def send(self, message: EmailMessage, address: str) -> None:
        """Lay a mail down; the same mail again replaces the first one.

        Raises:
            Away: it cannot be written.
        """
        html = message.get_body(("html",))
        assert html is not None
        # The subject holds what others chose. The id makes the name this mail's own.
        words = re.sub(r"[^a-zA-Z0-9]+", "-", f"{address} {message['Subject']}")[:_NAME_CHARACTERS].strip("-")
        mail_id = re.sub(r"[^a-zA-Z0-9]+", "", message["Message-ID"].partition("@")[0])
        name = f"{words}-{mail_id[:12]}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / f"{name}.html").write_text(html.get_content(), encoding="utf-8")
            (self._directory / f"{name}.eml").write_bytes(message.as_bytes())
        except OSError as error:
            raise Away(f"{error.strerror}: {error.filename}") from None

    async def close(self) -> None:
        """Nothing is open."""
