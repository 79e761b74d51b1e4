"""ClickHouse's HTTP interface without a client: a URL, parameters and a body in; status, headers and bytes out."""

import http.client
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit


class Answer(NamedTuple):
    """What came back; header names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def ask(
    url: str,
    body: bytes | Iterable[bytes] = b"",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    path: str = "/",
    **parameters: str,
) -> Answer:
    """One request; an iterable body is sent in chunks, as it is cut."""
    parts = urlsplit(url)
    credentials = {"X-ClickHouse-User": parts.username or "", "X-ClickHouse-Key": parts.password or ""}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(
            method, f"{path}?{urlencode(parameters)}", body=body, headers=credentials | dict(headers or {})
        )
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()
