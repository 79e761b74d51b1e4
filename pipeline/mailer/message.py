"""A letter and an address come in; the mail that says it, as text and as HTML, goes out. Nothing in it is loaded."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from html import escape
from importlib.resources import files
from string import Template

from pipeline.mailer.letters import Letter
from schemas.contacts import Contact

_PAGE = Template(files("pipeline.mailer").joinpath("mail.html").read_text(encoding="utf-8"))


def message_of(letter: Letter, mail_id: str, sender: Address, contact: Contact, url: str | None) -> EmailMessage:
    """The mail to one member; its Message-ID is that of the event and the member, however often it is made."""
    assert contact.email is not None
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    # In its two parts: whole, an address such as a..b@example.com, which people do have, is refused for want of quotes.
    name, _, domain = contact.email.rpartition("@")
    message["To"] = Address(contact.display_name or "", name, domain)
    message["Subject"] = letter.subject
    message["Message-ID"] = f"<{mail_id}@{sender.domain}>"
    message["Date"] = formatdate(usegmt=True)
    message["Auto-Submitted"] = "auto-generated"
    # Nothing but ASCII on the wire: no server on the way need know 8BITMIME.
    message.set_content(text_of(letter, url), cte="quoted-printable")
    message.add_alternative(html_of(letter, url), subtype="html", cte="quoted-printable")
    return message


def text_of(letter: Letter, url: str | None) -> str:
    """As plain text; the table in columns."""
    blocks = [*letter.sentences]
    if letter.table:
        widths = [max(map(len, column)) for column in zip(*letter.table, strict=True)]
        blocks.append("\n".join(_line(letter, row, widths) for row in letter.table))
    if url:
        blocks.append(url)
    return "\n\n".join([*blocks, "-- \n" + letter.foot]) + "\n"


def html_of(letter: Letter, url: str | None) -> str:
    """As a page of HTML; whatever others can choose is escaped."""
    body = [f"<p>{escape(sentence)}</p>" for sentence in letter.sentences]
    if letter.table:
        head, *rows = letter.table
        lines = [_row(letter, head, "th"), *(_row(letter, row, "td") for row in rows)]
        body.append("<table>\n" + "\n".join(lines) + "\n</table>")
    if url:
        body.append(f'<p><a href="{escape(url)}">Open the Usage page</a></p>')
    return _PAGE.substitute(subject=escape(letter.subject), body="\n".join(body), foot=escape(letter.foot))


def _line(letter: Letter, row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.rjust(width) if column in letter.numbers else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _row(letter: Letter, row: tuple[str, ...], tag: str) -> str:
    cells = [
        f"<{tag}{' class=number' if column in letter.numbers else ''}>{escape(cell)}</{tag}>"
        for column, cell in enumerate(row)
    ]
    return f"<tr>{''.join(cells)}</tr>"
