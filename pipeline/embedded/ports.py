"""Loopback ports: a wanted port or 0 in, a port that is free now out; a directory keeps its port while it can."""

import secrets
import socket
from pathlib import Path

from pipeline.embedded.errors import EmbeddedError

LOOPBACK = "127.0.0.1"


def choose_port(wanted: int, remembered: Path) -> int:
    """The wanted port, or for 0 the one written in `remembered` if it is free, else any free one.

    Raises:
        EmbeddedError: a wanted port is taken.
    """
    if wanted:
        if not _is_free(wanted):
            raise EmbeddedError(f"port {wanted} of {LOOPBACK} is taken; choose another, or 0 for any free one")
        return wanted
    earlier = _read(remembered)
    return earlier if earlier and _is_free(earlier) else free_port()


def free_port() -> int:
    """A port nobody listens on at this moment.

    Below those that systems give to outgoing connections: one of these could take it before a server has started.
    """
    while not _is_free(port := 20_000 + secrets.randbelow(12_000)):
        pass
    return port


def _read(remembered: Path) -> int:
    try:
        text = remembered.read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdecimal() and int(text) < 65536 else 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do, or connections of the last run that still wind down would make its port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
