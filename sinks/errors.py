"""What can go wrong between Kafka and ClickHouse, by what is to be done about it."""


class SinkError(Exception):
    """The base of the four; its text says what happened, to which rows, and what comes next."""


class Away(SinkError):
    """ClickHouse or Kafka did not do it, but may later: wait, claim again, go on."""


class Fenced(SinkError):
    """Another sink claimed the partition after us: nothing was inserted; see whether it is still ours."""


class Broken(SinkError):
    """An invariant does not hold: stop, and let a person look; to go on could lose or double money."""
