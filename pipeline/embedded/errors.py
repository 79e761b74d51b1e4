"""What can go wrong with an embedded part, as a sentence for a person."""


class EmbeddedError(RuntimeError):
    """An embedded part cannot be started or kept: what happened, which path or port, what to do next."""
