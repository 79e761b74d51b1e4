"""Where a chunk's time goes: stages in, as they begin; seconds by stage out. A few looks at a clock a slice."""

from time import perf_counter


class Stages:
    """A stopwatch with several hands, of which one runs at a time, or none.

    Attributes:
        seconds: so far, by stage.
    """

    __slots__ = ("_since", "_stage", "seconds")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage: str | None = None
        self._since = 0.0

    def begin(self, stage: str | None) -> None:
        """End the stage that runs, and begin another; or none."""
        now = perf_counter()
        if self._stage is not None:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now
