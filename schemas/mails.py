"""What became of a mail: a record on `mails`, so that none is sent twice; no address is in it (R37)."""

from typing import Literal

from pydantic import Field

from schemas.base import Identifier, Model
from schemas.instants import Instant

MailKind = Literal["digest", "breach", "threshold", "balance_low", "auto_reload_suspended"]
Outcome = Literal["sent", "refused", "given_up"]


class MailOutcome(Model):
    """One mail to one member, ended: the server has it, or will not take it, or it grew too old on the way."""

    mail_id: Identifier = Field(description="of the event and the member; its Message-ID begins with it")
    org_id: Identifier
    user_id: Identifier
    kind: MailKind
    outcome: Outcome
    smtp_code: int | None = Field(None, description="what the server said when it refused")
    at_micros: Instant = Field(alias="at")
