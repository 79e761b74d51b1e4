"""What a person can mend: raised anywhere, shown by the command line as its message, without a stack trace."""


class Mendable(Exception):
    """The message says what happened, which value, and what to do next."""
