"""What an operator may set of the rules: settings in, durations in microseconds out."""

from dataclasses import dataclass

from schemas.instants import MICROS_PER_DAY, MICROS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set. The journal does not name it: a rebuild takes the settings it is run with."""

    horizon_days: int = 35
    grace_hours: int = 72
    digest_hour: int = 8
    suppress_zero_invoices: bool = True

    @property
    def horizon_micros(self) -> int:
        """How old an event may be at its first arrival (R17), and how long a command's answer is remembered (R38b)."""
        return self.horizon_days * MICROS_PER_DAY

    @property
    def grace_micros(self) -> int:
        """How long after its end a month stays open for late usage (R19)."""
        return self.grace_hours * MICROS_PER_HOUR
