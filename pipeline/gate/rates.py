"""Who is calling and when come in; whether it is too often goes out: a bucket of requests for each caller."""

from collections import OrderedDict

_MOST_CALLERS = 100_000


class Rates:
    """Each caller may ask so many times a second, and as many at once."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def wait_seconds(self, kind: str, caller_id: str, per_second: float, now_seconds: float) -> float:
        """Take one request out of the caller's bucket; 0, or how long until there is one."""
        key = (kind, caller_id)
        left, at_seconds = self._buckets.get(key, (per_second, now_seconds))
        left = min(per_second, left + (now_seconds - at_seconds) * per_second)
        if left < 1:
            return (1 - left) / per_second
        self._buckets[key] = (left - 1, now_seconds)
        self._buckets.move_to_end(key)  # who has long been quiet is forgotten first
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0
