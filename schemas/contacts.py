"""How to reach a member: what lies in `member-contacts` under (organisation, member), and how changes go together.

A record holds all of a contact, and of each field the number of the command that last set it: whoever merges the same
changes, in whatever order and however often, has the same contact. Source: docs/rules.md R37a;
docs/decisions/0016-contacts-and-mail.md.
"""

import json
from typing import Annotated, Any, Self, get_args

from pydantic import Field, StringConstraints

from schemas.base import Count, Model, quoted
from schemas.commands import ContactField

FIELDS: tuple[ContactField, ...] = get_args(ContactField)

EmailAddress = Annotated[
    str,
    StringConstraints(
        max_length=254,
        pattern=r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
        r"(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$",
    ),
]
"""What HTML's `<input type=email>` takes, and so nothing that could begin another header or another address."""

# No control characters, no line breaks of any alphabet, nothing that turns the direction of writing around.
_NAMED = r"[^\s\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
DisplayName = Annotated[str, StringConstraints(max_length=100, pattern=f"^{_NAMED}+( {_NAMED}+)*$")]
"""Words with single spaces between them."""


class Notices(Model):
    """Which mails a member wants; what is not named is on."""

    digest: bool = Field(True, description="outstanding requests, once a day; to admins and above")
    breaches: bool = Field(True, description="a spend limit is reached")
    thresholds: bool = Field(True, description="spend passed a percent of a limit")
    balance: bool = Field(True, description="a low balance, a reload that failed; to owners")


class Contact(Model):
    """A contact; `changed` has for each field the org_seq of the command that last set it."""

    email: EmailAddress | None = None
    display_name: DisplayName | None = None
    notices: Notices = Notices()
    changed: dict[ContactField, Count] = Field(default_factory=dict)

    @classmethod
    def erased(cls, org_seq: int) -> Self:
        """Nothing is known, since this command."""
        return cls(changed=dict.fromkeys(FIELDS, org_seq))

    @property
    def is_empty(self) -> bool:
        """It says nothing: its record is a tombstone."""
        return self.email is None and self.display_name is None and self.notices == Notices()

    def merged(self, other: "Contact") -> "Contact":
        """Of each field what was set last."""
        newer = [name for name in FIELDS if other.changed.get(name, 0) > self.changed.get(name, 0)]
        taken: dict[str, Any] = {name: getattr(other, name) for name in newer}
        changed = self.changed | {name: other.changed[name] for name in newer}
        return self.model_copy(update={**taken, "changed": changed})


def contact_key(org_id: str, user_id: str) -> bytes:
    """The key of a contact: `["o","u"]`."""
    return f"[{quoted(org_id)},{quoted(user_id)}]".encode()


def identity_of(key: bytes) -> tuple[str, str]:
    """The organisation and the member of a key.

    Raises:
        ValueError: it is no such key.
    """
    match json.loads(key):
        case [str(org_id), str(user_id)]:
            return org_id, user_id
    raise ValueError(f"{key[:64]!r} is no key of a contact")
