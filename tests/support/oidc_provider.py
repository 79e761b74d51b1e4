"""A free port comes in; the URL of a real OIDC provider on it goes out."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


@contextmanager
def provider(port: int) -> Iterator[str]:
    """A provider with keys of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                found = httpx.get(f"{url}/.well-known/openid-configuration")
                yield found.json()["issuer"]
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the provider does not start")
    finally:
        started.kill()
        started.wait()
