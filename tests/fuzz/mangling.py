"""Mutations of bytes, which know next to nothing of JSON: bytes and chance come in, other bytes go out."""

import re
from collections.abc import Callable
from random import Random

Mutation = Callable[[Random, bytes], bytes]

_INSERTS = (
    *(
        b"\x00",
        b"\x01",
        b"\x1f",
        b"\x7f",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xe2\x82",
    ),
    *(
        b"\xf4\x90\x80\x80",
        b"\xc3\xbc",
        b"\xe2\x80\xa8",
        b"\\",
        b'"',
        b"'",
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b"//",
        b"/*",
    ),
    *(
        b"\\u0000",
        b"\\ud800",
        b"\\udc00\\ud800",
        b"\\ud83d\\udcb0",
        b"\\x41",
        b"\\u12",
        b"\\n",
        b"\n",
        b"\t",
        b"\r\n",
        b" ",
    ),
    *(
        b"[" * 40,
        b'{"a":' * 40,
        b"[" * 20_000,
        b"null",
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"\xd9\xa3",
        b"&quot;",
        b"\x0b",
        b"\xa0",
    ),
)
_NUMBERS = (
    *(
        b"-0",
        b"-0.0",
        b"00",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"1e2",
        b"1E+2",
        b"1e400",
        b"-1e-400",
        b"0x10",
        b"1_000",
        b"NaN",
    ),
    *(
        b"Infinity",
        b"9" * 19,
        b"18446744073709551615",
        b"18446744073709551616",
        b"9" * 400,
        b"9" * 6_000,
        b"1.0",
        b"--1",
    ),
    *(
        b"\xd9\xa3",
        b"\xef\xbc\x91",
        b"1" + b"0" * 300,
        b"0." + b"0" * 300 + b"1",
        b"100000000",
        b"100000001",
        b"true",
        b'"5"',
    ),
)
_NUMBER = re.compile(rb"(?<=: )\d+")
_LETTER = re.compile(rb"[A-Za-z]")
_KEY = re.compile(rb'"[a-z_]+": ')


def mangle(chance: Random, value: bytes, another: Callable[[], bytes]) -> bytes:
    """The same with one to four things done to it; `another` record may lend a part."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if chance.random() < 0.08:
            value = _spliced(chance, value, another())
        else:
            value = chance.choice(_MUTATIONS)(chance, value)
    return value


def _span(chance: Random, value: bytes) -> tuple[int, int]:
    begin = chance.randrange(len(value) + 1)
    return begin, min(len(value), begin + chance.choice((1, 1, 2, 8, 40, 200)))


def _spliced(chance: Random, value: bytes, other: bytes) -> bytes:
    return value[: chance.randrange(len(value) + 1)] + other[chance.randrange(len(other) + 1) :]


def _flip(chance: Random, value: bytes) -> bytes:
    at = chance.randrange(len(value) + 1)
    return value[:at] + bytes([byte ^ 1 << chance.randrange(8) for byte in value[at : at + 1]]) + value[at + 1 :]


def _set(chance: Random, value: bytes) -> bytes:
    at = chance.randrange(len(value) + 1)
    return value[:at] + bytes([chance.randrange(256)]) + value[at + 1 :]


def _cut_off(chance: Random, value: bytes) -> bytes:
    return value[: chance.randrange(len(value) + 1)]


def _cut_out(chance: Random, value: bytes) -> bytes:
    begin, end = _span(chance, value)
    return value[:begin] + value[end:]


def _double(chance: Random, value: bytes) -> bytes:
    begin, end = _span(chance, value)
    return value[:end] + value[begin:]


def _insert(chance: Random, value: bytes) -> bytes:
    at = chance.randrange(len(value) + 1)
    return value[:at] + chance.choice(_INSERTS) + value[at:]


def _number(chance: Random, value: bytes) -> bytes:
    return _replaced(chance, value, _NUMBER, chance.choice(_NUMBERS))


def _escape(chance: Random, value: bytes) -> bytes:
    """A letter written as an escape: the same text, in a string."""
    found = list(_LETTER.finditer(value))
    if not found:
        return value
    at = chance.choice(found).start()
    return value[:at] + b"\\u%04x" % value[at] + value[at + 1 :]


def _key_twice(chance: Random, value: bytes) -> bytes:
    """A field said twice; which one counts must not be a matter of how it is read."""
    keys: list[bytes] = _KEY.findall(value)
    if not keys or not value.endswith(b"}"):
        return value
    said: bytes = chance.choice(
        (b"5", b'"acme"', b"null", b"{}", b'"2026-05-10T12:00:00Z"', b'"1.0"', b"[]", *_NUMBERS)
    )
    if chance.random() < 0.5:
        return value[:-1] + b", " + chance.choice(keys) + said + b"}"
    return value.replace(b"{", b"{" + chance.choice(keys) + said + b", ", 1)


def _replaced(chance: Random, value: bytes, what: re.Pattern[bytes], by: bytes) -> bytes:
    found = list(what.finditer(value))
    if not found:
        return value
    match = chance.choice(found)
    return value[: match.start()] + by + value[match.end() :]


def _another_text(chance: Random, value: bytes) -> bytes:
    """The whole of it in another encoding, spacing or case, doubled, or in brackets."""
    found: bytes = chance.choice(
        (
            value.decode("latin-1").encode("utf-16"),
            value.decode("latin-1").encode(),
            value.upper(),
            b" \r\n\t" + value + b"\n",
            b"\xef\xbb\xbf" + value,
            value + value,
            value + b"\n" + value,
            b"[" + value + b"]",
            b"[" + value + b",]",
            b"[" + value + b", " + value + b", 1]",
            value.replace(b" ", b""),
            value.replace(b'"', b"'"),
            b"",
        )
    )
    return found


_MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _flip, _set, _cut_off, _cut_out, _double, _insert, _insert),
    *(_number, _number, _escape, _key_twice, _another_text),
)
