"""What a rule raises where a command must change nothing: a reason and a sentence in, the same out (R1)."""


class Refused(Exception):
    """The command changes nothing; `reason` is stable and for programs, the text for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
