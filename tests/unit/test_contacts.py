"""Contacts: what is taken, and how changes go together, whoever writes first (R37a)."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.contacts import ContactCopy, encoded
from schemas.contacts import FIELDS, Contact, Notices, contact_key, identity_of

KEY = contact_key("acme", "mia")


def change(org_seq: int, **fields: object) -> Contact:
    return Contact(**fields, changed=dict.fromkeys(fields, org_seq))  # type: ignore[arg-type]


EMAIL = change(5, email="mia@example.com")
NAME = change(6, display_name="Mia Ilves")
OTHER = change(7, email="mia@example.org", notices=Notices(breaches=False))
ERASED = Contact.erased(8)


@pytest.mark.parametrize("email", ["m@x", "mia.ilves+usage@mail.example.com", "o'hara@example.com", "a" * 64 + "@b.c"])
def test_addresses_are_taken(email: str) -> None:
    assert Contact(email=email).email == email


@pytest.mark.parametrize(
    "email",
    [
        *("", "mia", "@x.com", "mia@", "m i@x.com", "mia@x.com\r\nBcc: all@x.com", "a@b@c", "<a@b>", "a@b,c@d"),
        *("ä@x.com", "a@-b", "a@b-", "a@b..c", "a" * 65 + "@b.c", "a@" + ".".join(["b" * 60] * 5)),
    ],
)
def test_what_is_no_address_or_would_be_more_than_one_is_not(email: str) -> None:
    with pytest.raises(ValidationError):
        Contact(email=email)


@pytest.mark.parametrize("name", ["Mia", "Ødegård-Łuk 李小龍", "<b>O'Hara</b>", "R2 D2", "x" * 100])
def test_names_are_taken(name: str) -> None:
    assert Contact(display_name=name).display_name == name


@pytest.mark.parametrize("name", ["", " ", " Mia", "Mia ", "a  b", "a\nb", "a\x00", "\u202eaiM", "a\u2028b", "x" * 101])
def test_names_that_break_lines_or_turn_around_are_not(name: str) -> None:
    with pytest.raises(ValidationError):
        Contact(display_name=name)


@pytest.mark.parametrize("order", [*permutations([EMAIL, NAME, OTHER])])
def test_of_each_field_what_was_set_last_holds_in_whatever_order_it_comes(order: tuple[Contact, ...]) -> None:
    merged = Contact()
    for one in (*order, *order):
        merged = merged.merged(one)
    assert (merged.email, merged.display_name, merged.notices.breaches) == ("mia@example.org", "Mia Ilves", False)
    assert merged.changed == {"email": 7, "display_name": 6, "notices": 7}


def copy_of(*records: Contact) -> ContactCopy:
    copy = ContactCopy()
    for record in records:
        copy.take(KEY, *encoded(record))
    return copy


def test_what_was_set_before_an_erasure_stays_erased_though_it_is_written_after_it() -> None:
    assert encoded(ERASED)[0] is None
    copy = copy_of(EMAIL, ERASED, EMAIL)
    assert copy.contact("acme", "mia").is_empty
    # And the last record has to be written again: who reads only that would see the address.
    assert copy.is_overtaken("acme", "mia")
    assert not copy_of(EMAIL, ERASED, EMAIL, ERASED).is_overtaken("acme", "mia")


def test_a_tombstone_of_somebody_elses_making_erases() -> None:
    copy = copy_of(OTHER)
    copy.take(KEY, None, ())
    assert copy.contact("acme", "mia") == Contact()


FIELD_CHANGES = st.builds(
    lambda seq, values: Contact(**values, changed=dict.fromkeys(values, seq)),
    st.integers(1, 9),
    st.fixed_dictionaries(
        {},
        optional={
            "email": st.sampled_from([None, "a@b", "c@d"]),
            "display_name": st.sampled_from([None, "A", "B"]),
            "notices": st.builds(Notices, digest=st.booleans()),
        },
    ),
)


@given(st.lists(FIELD_CHANGES, max_size=6, unique_by=lambda one: max(one.changed.values(), default=0)), st.randoms())
def test_a_copy_is_the_same_whatever_order_gates_wrote_in(changes: list[Contact], random: object) -> None:
    shuffled = list(changes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (copy_of(*order).contact("acme", "mia") for order in (changes, shuffled))
    assert first == second


def test_keys_are_read_back() -> None:
    assert identity_of(contact_key('a"\\', "]")) == ('a"\\', "]")
    for wrong in (b"[]", b'["a"]', b'["a",1]', b"{}", b"x"):
        with pytest.raises(ValueError, match=r"no key|Expecting"):
            identity_of(wrong)


def test_a_contact_says_when_each_of_its_fields_was_set() -> None:
    assert set(ERASED.changed) == set(FIELDS)
