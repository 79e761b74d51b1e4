"""A process on a machine whose clock is off: seconds come in; from then on the process reads the wrong time."""

import time


def set_the_clock(off_seconds: float) -> None:
    """What a machine's clock says that is off; monotonic time goes on as ever."""
    now, now_nanos = time.time, time.time_ns
    time.time = lambda: now() + off_seconds
    time.time_ns = lambda: now_nanos() + int(off_seconds * 1e9)
