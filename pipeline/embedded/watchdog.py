"""A process beside each server: when whoever started the server is gone, however it went, it stops the server.

usage: python -I -S watchdog.py LOCK PID GRACE_SECONDS, with a pipe from the starter as standard input. The pipe ends
with the starter. The server holds a lock on the file LOCK as long as it lives, so PID is never somebody else's.
"""

import contextlib
import fcntl
import os
import signal
import sys
import time


def is_held(lock: str) -> bool:
    """Whether some process holds the lock on this file."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def stop_the_orphan(lock: str, pid: int, grace_seconds: float) -> None:
    """SIGTERM to the holder of the lock, then SIGKILL once the grace is over."""
    for number, patience_seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if not is_held(lock):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience_seconds
        while is_held(lock) and time.monotonic() < deadline:
            time.sleep(0.05)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    stop_the_orphan(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
