"""What products may send by mistake: the bytes of one event, and the reason under which it becomes a dead letter."""

from typing import NamedTuple

from schemas.dead_letters import Reason
from tests.support.builders import NOON, as_json, cloud_event, event, later

GOOD = as_json(event())
GOOD_CLOUD_EVENT = cloud_event(event(source="chat/eu"))


def with_field(name: str, json: str) -> bytes:
    """The good event with one more field, its value written as given."""
    return GOOD[:-1] + f', "{name}": {json}}}'.encode()


def without(name: str) -> bytes:
    return as_json({field: value for field, value in event().items() if field != name})


class Bad(NamedTuple):
    name: str
    raw: bytes
    reason: Reason


DEEP = 20_000

NOT_JSON = [
    Bad("cut off", GOOD[:-7], Reason.MALFORMED),
    Bad("cut off in a string", GOOD[:20], Reason.MALFORMED),
    Bad("text", b"hello", Reason.MALFORMED),
    Bad("a byte order mark", b"\xef\xbb\xbf" + GOOD, Reason.MALFORMED),
    Bad("UTF-16", GOOD.decode().encode("utf-16"), Reason.MALFORMED),
    Bad("two objects on two lines", GOOD + b"\n" + GOOD, Reason.MALFORMED),
    Bad("something after it", GOOD + b"}", Reason.MALFORMED),
    Bad("blanks alone", b" \n\t", Reason.MALFORMED),
]
"""No array could hold these as an item."""

MALFORMED = [
    Bad("a number", b"5", Reason.MALFORMED),
    Bad("null", b"null", Reason.MALFORMED),
    Bad("a string", b'"event"', Reason.MALFORMED),
    Bad("NaN", with_field("input_tokens", "NaN"), Reason.MALFORMED),
    Bad("Infinity", with_field("input_tokens", "-Infinity"), Reason.MALFORMED),
    Bad("a leading zero", with_field("input_tokens", "007"), Reason.MALFORMED),
    Bad("hexadecimal", with_field("input_tokens", "0x10"), Reason.MALFORMED),
    Bad("a number beyond any double", with_field("input_tokens", "1e400"), Reason.MALFORMED),
    Bad("six thousand digits", with_field("input_tokens", "9" * 6_000), Reason.MALFORMED),
    Bad("single quotes", b"{'org_id': 'acme'}", Reason.MALFORMED),
    Bad("a trailing comma", GOOD[:-1] + b",}", Reason.MALFORMED),
    Bad("a control character in a string", with_field("source", '"a\nb"'), Reason.MALFORMED),
    Bad("a lone high surrogate", with_field("source", r'"\ud800"'), Reason.MALFORMED),
    Bad("a lone low surrogate", with_field("source", r'"\udc00"'), Reason.MALFORMED),
    Bad("a surrogate in UTF-8", with_field("source", '"?"').replace(b"?", b"\xed\xa0\x80"), Reason.MALFORMED),
    Bad("invalid UTF-8", with_field("source", '"?"').replace(b"?", b"\xff"), Reason.MALFORMED),
    Bad("an overlong UTF-8 form", with_field("source", '"?"').replace(b"?", b"\xc0\xaf"), Reason.MALFORMED),
    Bad(
        "invalid UTF-8 in an extension",
        as_json(GOOD_CLOUD_EVENT | {"ext": "?"}).replace(b"?", b"\xff"),
        Reason.MALFORMED,
    ),
    Bad("deep objects", with_field("source", '{"a":' * DEEP + "1" + "}" * DEEP), Reason.MALFORMED),
    Bad("deep arrays", with_field("source", "[" * DEEP + "]" * DEEP), Reason.MALFORMED),
    Bad(
        "depth in an extension",
        as_json(GOOD_CLOUD_EVENT)[:-1] + b', "ext": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        Reason.MALFORMED,
    ),
]

WRONG_FIELDS = [
    Bad("an empty object", b"{}", Reason.INVALID),
    *(
        Bad(f"no {name}", without(name), Reason.INVALID)
        for name in ("org_id", "user_id", "event_id", "product", "model", "occurred_at", "funding")
    ),
    *(
        Bad(f"{name} {value}", with_field(name, value), Reason.INVALID)
        for name in ("org_id", "user_id", "event_id", "product", "model")
        for value in ('""', "null", "5", '"a b"', r'"a\u0000"', '"ü"', '["a"]', f'"{"x" * 129}"')
    ),
    *(Bad(f"source {value}", with_field("source", value), Reason.INVALID) for value in ("null", '"a b"', "{}")),
    *(
        Bad(f"funding {value}", with_field("funding", value), Reason.INVALID)
        for value in ('"free"', '"Credits"', "null", "true", '""')
    ),
    *(
        Bad(f"{name} {value}", with_field(name, value), Reason.INVALID)
        for name in ("input_tokens", "cache_write_1h_tokens", "web_search_requests")
        for value in ("-1", "1.5", "1.0", "-0.0", "1e2", '"5"', "true", "null", "[5]", "{}")
    ),
    *(
        Bad(f"occurred_at {value}", with_field("occurred_at", value), Reason.INVALID)
        for value in (
            "null",
            "1778414400",
            "1778414400000000",
            '""',
            '"2026-05-10"',
            '"2026-05-10T12:00:00"',
            '"2026-05-10T12:00:00.1234567Z"',
            '"2026-05-10T12:00:60Z"',
            '"2026-05-10T12:00:05Z5Z"',
            '"2026-02-30T12:00:00Z"',
            '"9999-12-31T23:59:59-10:00"',
        )
    ),
    *(
        Bad(f"{name} {value}", with_field(name, value), Reason.INVALID)
        for name in ("processing", "speed", "inference_geo")
        for value in ("5", "false", '"a b"', "[]")
    ),
    Bad("empty processing", with_field("processing", '""'), Reason.INVALID),
    Bad("a correction of nothing", with_field("corrects", "{}"), Reason.INVALID),
    Bad("a correction by id alone", with_field("corrects", '"e-0"'), Reason.INVALID),
]

UNKNOWN_FIELDS = [
    Bad("an unknown field", with_field("tokens", "5"), Reason.UNKNOWN_FIELD),
    Bad("a field's inner name", GOOD.replace(b"occurred_at", b"occurred_at_micros"), Reason.UNKNOWN_FIELD),
    Bad("a field in another case", with_field("Input_tokens", "5"), Reason.UNKNOWN_FIELD),
    Bad("an unknown field in data", as_json(cloud_event(event(source="s", tokens=5))), Reason.UNKNOWN_FIELD),
    *(
        Bad(
            f"{name} again in data",
            as_json(GOOD_CLOUD_EVENT | {"data": GOOD_CLOUD_EVENT["data"] | {name: value}}),
            Reason.UNKNOWN_FIELD,
        )
        for name, value in (("event_id", "e-1"), ("source", "chat/eu"), ("occurred_at", NOON))
    ),
]

TOO_MUCH = [
    *(
        Bad(f"{name} {count}", with_field(name, str(count)), Reason.COUNT_TOO_LARGE)
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
        )
        for count in (100_000_001, 2**53, 2**53 + 1, 2**63, 2**64, 10**30)
    ),
    Bad("100,001 searches", with_field("web_search_requests", "100001"), Reason.COUNT_TOO_LARGE),
]

WRONG_ENVELOPES = [
    *(
        Bad(f"{name} {value!r}", as_json(GOOD_CLOUD_EVENT | {name: value}), Reason.INVALID)
        for name, value in (
            ("specversion", "0.3"),
            ("specversion", "1.1"),
            ("specversion", 1.0),
            ("specversion", None),
            ("type", "usage-credits.usage.v2"),
            ("type", "usage"),
            ("type", None),
            ("datacontenttype", "text/plain"),
            ("datacontenttype", None),
            ("source", ""),
            ("source", None),
            ("id", ""),
            ("id", 5),
            ("time", "yesterday"),
            ("time", None),
            ("data", None),
            ("data", "eyJhIjogMX0="),
            ("data", []),
        )
    ),
    *(
        Bad(
            f"an envelope without {name}",
            as_json({key: value for key, value in GOOD_CLOUD_EVENT.items() if key != name}),
            Reason.INVALID,
        )
        for name in ("type", "id", "source", "time", "data")
    ),
    Bad("a bare event with an envelope's mark", with_field("specversion", '"1.0"'), Reason.INVALID),
]

UNTIMELY = [
    Bad(
        "just over 5 minutes ahead", as_json(event(occurred_at=later(NOON, minutes=5, micros=1))), Reason.IN_THE_FUTURE
    ),
    Bad("years ahead", as_json(event(occurred_at="2099-01-01T00:00:00Z")), Reason.IN_THE_FUTURE),
    Bad("just over 35 days old", as_json(event(occurred_at=later(NOON, days=-35, micros=-1))), Reason.TOO_OLD),
    Bad("before there were computers", as_json(event(occurred_at="0001-01-01T00:00:00Z")), Reason.TOO_OLD),
]
"""At NOON."""

UNCHARGEABLE = [
    Bad("an organisation nobody registered", as_json(event(org_id="nobody")), Reason.UNKNOWN_ORGANIZATION),
    Bad("somebody never added", as_json(event(user_id="zoe")), Reason.UNKNOWN_MEMBER),
    Bad("a member of another spelling", as_json(event(user_id="Ann")), Reason.UNKNOWN_MEMBER),
    Bad("a model nobody knows", as_json(event(model="claude-sonnet-9")), Reason.UNKNOWN_MODEL),
    Bad("a prefix of a model's name", as_json(event(model="claude-sonnet-4-")), Reason.UNKNOWN_MODEL),
    Bad("a kind of processing nobody knows", as_json(event(processing="flex")), Reason.UNPRICED),
    Bad("fast and batch at once", as_json(event(speed="fast", processing="batch")), Reason.UNPRICED),
    Bad("a place without a price", as_json(event(inference_geo="mars")), Reason.UNPRICED),
    Bad(
        "a correction, which nobody can book yet",
        as_json(
            event(
                corrects={
                    "event_id": "e-0",
                    "original": {name: value for name, value in event().items() if name not in ("org_id", "event_id")},
                }
            )
        ),
        Reason.UNKNOWN_ORIGINAL,
    ),
]

UNREADABLE = [*MALFORMED, *WRONG_FIELDS, *UNKNOWN_FIELDS, *TOO_MUCH, *WRONG_ENVELOPES]
"""No events; each could be an item of an array."""

ITEMS = [*UNREADABLE, *UNTIMELY, *UNCHARGEABLE]
