"""The topic member-contacts comes in; a copy of it that stays up to date goes out: addresses, names, notices (R37a)."""

import json
from collections.abc import Iterable
from typing import Any

from client.following import TopicFollower
from pipeline.settings import Settings
from pipeline.topics import MEMBER_CONTACTS
from schemas.contacts import Contact, identity_of

_CHANGED = "changed"
"""The header of a tombstone: what Contact.changed says, since a tombstone has no value to say it in."""

_NOBODY = Contact()

Headers = Iterable[tuple[str, bytes]]


def encoded(contact: Contact) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """Value and headers of a contact's record."""
    if contact.is_empty:
        return None, [(_CHANGED, json.dumps(contact.changed).encode())]
    return contact.model_dump_json(exclude_defaults=True).encode(), []


class ContactCopy:
    """What member-contacts says, as far as it was taken in."""

    def __init__(self) -> None:
        self._organizations: dict[str, dict[str, bytes]] = {}
        self._overtaken: set[tuple[str, str]] = set()

    def take(self, key: bytes, value: bytes | None, headers: Headers) -> None:
        """Take one record in; a tombstone of somebody else's making erases all the same.

        Raises:
            ValueError: it is no contact.
        """
        org_id, user_id = identity_of(key)
        members = self._organizations.setdefault(org_id, {})
        changed = dict(headers).get(_CHANGED)
        self._overtaken.discard((org_id, user_id))
        if value is None and changed is None:
            members.pop(user_id, None)
            return
        record = Contact(changed=json.loads(changed or b"")) if value is None else Contact.model_validate_json(value)
        held = members.get(user_id)
        merged = record if held is None else Contact.model_validate_json(held).merged(record)
        if merged != record:
            self._overtaken.add((org_id, user_id))
        # As bytes: a million contacts as objects would take three times the room.
        members[user_id] = merged.model_dump_json(exclude_defaults=True).encode()

    def contact(self, org_id: str, user_id: str) -> Contact:
        """What is known of a member; an empty contact where nothing is."""
        held = self._organizations.get(org_id, {}).get(user_id)
        return _NOBODY if held is None else Contact.model_validate_json(held)

    def display_name(self, org_id: str, user_id: str) -> str | None:
        """What a member is called, where they are called anything."""
        return self.contact(org_id, user_id).display_name

    def is_overtaken(self, org_id: str, user_id: str) -> bool:
        """Whether the last record of a member lacks what an earlier one says: two gates wrote at once."""
        return (org_id, user_id) in self._overtaken


class ContactFollower(TopicFollower):
    """Keeps a copy of member-contacts up to date."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.kafka(), settings.topic_prefix + MEMBER_CONTACTS.name)
        self.copy = ContactCopy()

    def take(self, record: Any) -> None:
        """One record of member-contacts."""
        self.copy.take(record.key, record.value, record.headers)
