"""SQL text as far as an HTTP server must read it: statement bytes in, where its data begin and what it may do out.

A tokenizer, not a parser: it knows strings, comments, quoted names and brackets, so that no word inside them counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pipeline.embedded.clickhouse_http.errors import refusal

_TOKEN = re.compile(
    rb"""
      (?P<gap> \s+ | --[^\n]* | \#[ !][^\n]* | /\*.*?\*/ )
    | (?P<word> \w+ )
    | (?P<quoted> '(?:\\.|[^'\\])*' | `(?:\\.|[^`\\])*` | "(?:\\.|[^"\\])*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<cut> ['`"] | /\* | \$\w*\$ )
    | (?P<other> . )
    """,
    re.DOTALL | re.VERBOSE,
)
_OUTPUT_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:\bSETTINGS\b[^']*)?;?\s*\Z", re.IGNORECASE)
_TAIL_BYTES = 1000
_UNOPENABLE_ENGINES = frozenset({b"KAFKA", b"RABBITMQ", b"NATS", b"S3QUEUE", b"AZUREQUEUE", b"FILELOG"})
_READING_WORDS = frozenset(
    {b"SELECT", b"WITH", b"SHOW", b"DESC", b"DESCRIBE", b"EXPLAIN", b"EXISTS", b"CHECK", b"USE", b"SET", b"(", b""}
)
# Words after a column called `format`; a format is called none of these.
_NO_FORMATS = frozenset(
    b"FROM AS IN NOT LIKE ILIKE BETWEEN IS AND OR WHERE GROUP ORDER LIMIT UNION END ASC DESC".split()
)


class Undecided(Exception):
    """More of the text is needed to tell."""


@dataclass(frozen=True)
class Insert:
    """An INSERT whose rows follow its text."""

    statement: bytes
    """The text before FORMAT and the data."""
    format: str
    """The format of the data."""
    data_at: int
    """Where in the given bytes the data begin."""
    input_span: tuple[int, int] | None = None
    """Where `input(…)` stands, for INSERT … SELECT … FROM input(…)."""
    input_structure: bytes = b""
    """What stands between its brackets."""

    def reading_from(self, path: str) -> bytes:
        """The same statement with its rows in a file."""
        assert self.input_span is not None
        start, end = self.input_span
        source = f"file({quoted(path)}, {quoted(self.format)}, ".encode() + self.input_structure + b")"
        return self.statement[:start] + source + self.statement[end:]


@dataclass(frozen=True)
class _Token:
    text: bytes
    start: int
    end: int
    depth: int


def split_insert(sql: bytes, *, complete: bool) -> Insert | None:
    """Where the rows of an INSERT begin; None for a statement that brings no rows along.

    Args:
        sql: the text, or its beginning.
        complete: there is no more.

    Raises:
        Undecided: it cannot be told yet; never if complete.
        ClickHouseError: input() without a structure, or twice.
    """
    before = _Token(b"", 0, 0, 0)
    selects = False
    call: list[_Token] = []
    calls: list[tuple[int, int, bytes]] = []
    for number, token in enumerate(_tokens(sql, complete=complete)):
        word = token.text.upper()
        if number == 0 and word != b"INSERT":
            return None
        previous = before.text.upper()
        if word == b"(" and previous == b"INPUT" and selects:
            call = [before, token]
        elif word == b")" and call and token.depth == call[1].depth:
            calls.append((call[0].start, token.end, sql[call[1].end : token.start].strip()))
            call = []
        elif token.depth == 0:
            if word in (b"SELECT", b"WITH"):
                selects = True
            elif word == b"INFILE":
                return None
            elif word == b"VALUES" and not selects:
                return Insert(sql[: token.start], "Values", token.end)
            elif previous == b"FORMAT" and word[:1].isalpha() and word not in _NO_FORMATS:
                if selects and not calls:
                    return None
                data_at = _data_after(sql, token.end, complete=complete)
                return _insert(sql[: before.start], token.text.decode(), data_at, calls)
        before = token
    if not complete:
        raise Undecided
    return None


def _insert(statement: bytes, data_format: str, data_at: int, calls: list[tuple[int, int, bytes]]) -> Insert:
    if not calls:
        return Insert(statement, data_format, data_at)
    if len(calls) > 1:
        raise refusal(81, "INVALID_USAGE_OF_INPUT", "You can read from input() only once per query")
    start, end, structure = calls[0]
    if not structure:
        raise refusal(42, "NUMBER_OF_ARGUMENTS_DOESNT_MATCH", "input() needs the structure of its rows here")
    return Insert(statement, data_format, data_at, (start, end), structure)


def _data_after(sql: bytes, at: int, *, complete: bool) -> int:
    """Past blanks and one line break, as ClickHouse does it."""
    end = at
    while end < len(sql) and sql[end] in b" \t\f":
        end += 1
    if end < len(sql) and sql[end] in b"\r":
        end += 1
    if end < len(sql) and sql[end] in b"\n":
        return end + 1
    if end == len(sql) and not complete:
        raise Undecided
    return end


def _tokens(sql: bytes, *, complete: bool) -> Iterator[_Token]:
    """Words, quoted things and signs, without blanks and comments; the last one only when it cannot grow."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        if match.lastgroup == "gap":
            continue
        if not complete and (match.lastgroup == "cut" or match.end() == len(sql)):
            raise Undecided
        text = match[0]
        if text in (b")", b"]", b"}"):
            depth -= 1
        yield _Token(text, match.start(), match.end(), depth)
        if text in (b"(", b"[", b"{"):
            depth += 1


def first_word(sql: bytes) -> bytes:
    """The first word in capitals, `(` for a bracket, empty for nothing but blanks and comments."""
    return next((token.text.upper() for token in _tokens(sql, complete=True)), b"")


def only_reads(sql: bytes) -> bool:
    """Whether the statement changes no data, going by its words."""
    words = (token.text.upper() for token in _tokens(sql, complete=True) if token.depth == 0)
    first = next(words, b"")
    return first in _READING_WORDS and not (first == b"WITH" and b"INSERT" in words)


def output_format(sql: bytes) -> str | None:
    """The name after a closing FORMAT, None if the statement ends without one."""
    found = _OUTPUT_FORMAT.search(sql[-_TAIL_BYTES:])
    return found[1].decode() if found else None


def without_format(sql: bytes) -> bytes:
    """The statement without its closing FORMAT."""
    tail = max(0, len(sql) - _TAIL_BYTES)
    found = _OUTPUT_FORMAT.search(sql, tail)
    return sql[: found.start()] if found else sql


def refuse_unopenable_engines(sql: bytes) -> None:
    """Raise for table engines whose one failed CREATE leaves a data folder that cannot be opened any more.

    Raises:
        ClickHouseError: the statement makes a table with such an engine.
    """
    words = [token.text.upper() for token in _tokens(sql[:65536], complete=True)] if _may_create(sql) else []
    for before, word in pairwise(words):
        engine = word if before in (b"ENGINE", b"=") else b""
        if engine in _UNOPENABLE_ENGINES and b"ENGINE" in words:
            raise refusal(48, "NOT_IMPLEMENTED", f"Table engine {engine.decode()} does not work in the embedded engine")


def _may_create(sql: bytes) -> bool:
    return first_word(sql[:4096]) in (b"CREATE", b"ATTACH", b"REPLACE")


def with_query_id_as(sql: bytes, expression: bytes) -> bytes:
    """A KILL QUERY with an expression wherever it says `query_id`; any other statement as it is."""
    tokens = list(_tokens(sql, complete=True)) if first_word(sql) == b"KILL" else []
    pieces, done = [], 0
    for token in tokens:
        if token.text.strip(b'`"') == b"query_id":
            pieces += [sql[done : token.start], expression]
            done = token.end
    return b"".join(pieces) + sql[done:]


def quoted(value: object) -> str:
    """A value as a SQL string."""
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
