"""Where our page may be: the first origin is the one that an issuer sends browsers back to."""

import pytest

from pipeline.gate.sessions import origins


def test_a_public_address_is_the_only_one() -> None:
    assert origins("https://usage.example/", "0.0.0.0", 8080) == ("https://usage.example",)


@pytest.mark.parametrize(
    ("host", "first"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("10.0.0.7", "http://10.0.0.7:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://127.0.0.1:8080"),
    ],
)
def test_without_one_nobody_is_sent_to_all_addresses(host: str, first: str) -> None:
    found = origins(None, host, 8080)
    assert found[0] == first
    assert len(found) == len(set(found)) == (4 if host == "10.0.0.7" else 3)
