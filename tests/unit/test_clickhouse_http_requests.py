"""Credentials, failures and limits of the HTTP interface, without an engine."""

import base64

import pytest

from pipeline.embedded.clickhouse_http.errors import ClickHouseError, as_clickhouse_error, refusal
from pipeline.embedded.clickhouse_http.inserts import pour
from pipeline.embedded.clickhouse_http.users import User, authenticate

USERS = {"default": User("default", "s3cret", True), "analyst": User("analyst", "read", False)}


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("query", "headers", "name"),
    [
        ({"user": "analyst", "password": "read"}, {}, "analyst"),
        ({"password": "s3cret"}, {}, "default"),
        ({}, {"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": "read"}, "analyst"),
        ({}, basic("default:s3cret"), "default"),
    ],
)
def test_credentials_come_in_three_ways(query: dict[str, str], headers: dict[str, str], name: str) -> None:
    assert authenticate(query, headers, USERS).name == name


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({}, {}),
        ({"user": "default"}, {}),
        ({"user": "default", "password": "read"}, {}),
        ({"user": "nobody", "password": ""}, {}),
        ({}, basic("default:S3CRET")),
        ({}, {"Authorization": "Basic ???"}),
        ({}, {"Authorization": "Bearer s3cret"}),
    ],
)
def test_anything_else_is_refused(query: dict[str, str], headers: dict[str, str]) -> None:
    with pytest.raises(ClickHouseError) as refused:
        authenticate(query, headers, USERS)
    assert (refused.value.code, refused.value.status) == (516, 403)


def test_a_failure_of_the_engine_keeps_its_code_and_its_words() -> None:
    error = as_clickhouse_error(RuntimeError("Streaming failed: Code: 60. DB::Exception: No t. (UNKNOWN_TABLE)"))
    assert (error.code, error.status, str(error)) == (60, 404, "Code: 60. DB::Exception: No t. (UNKNOWN_TABLE)")


def test_any_other_failure_gets_a_code() -> None:
    error = as_clickhouse_error(ValueError("odd"))
    assert (error.code, error.status, str(error)) == (1002, 500, "Code: 1002. DB::Exception: odd. (UNKNOWN_EXCEPTION)")


class Pieces:
    """A body of given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


async def poured(limit_bytes: int | None) -> bytes:
    pieces: list[bytes] = []

    async def keep(data: bytes) -> None:
        pieces.append(data)

    await pour(b"ab", Pieces(b"cd", b"ef"), keep, limit_bytes)
    return b"".join(pieces)


@pytest.mark.parametrize("limit_bytes", [6, None])
async def test_a_body_up_to_its_largest_size_is_taken(limit_bytes: int | None) -> None:
    assert await poured(limit_bytes) == b"abcdef"


async def test_a_body_one_byte_larger_is_refused() -> None:
    with pytest.raises(ClickHouseError) as refused:
        await poured(5)
    assert (refused.value.code, refused.value.status) == (307, 413)


def test_a_refusal_reads_like_one_of_the_engine() -> None:
    assert str(refusal(373, "SESSION_IS_LOCKED", "Busy")) == "Code: 373. DB::Exception: Busy. (SESSION_IS_LOCKED)"
