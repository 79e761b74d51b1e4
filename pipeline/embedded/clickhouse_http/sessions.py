"""Handles on the engine, one per request or one per session: a request in, a handle with its settings out.

A fresh handle is a fresh session of the engine and costs 0.1 ms, so requests without a session share nothing and run
side by side. Everything here blocks: call it in a thread.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import chdb

from pipeline.embedded.clickhouse_http.errors import refusal
from pipeline.embedded.clickhouse_http.request import ExternalTable, Request
from pipeline.embedded.clickhouse_http.statements import identifier, quoted

# The engine gives queries ids of its own. A setting that means nothing without the server's HTTP part carries the
# number of the request instead, where KILL QUERY and system.processes can see it.
NUMBER_SETTING = "http_headers_progress_interval_ms"
_ALWAYS = {"implicit_select": "0"}
"""Where the engine's defaults differ from a server's."""


@dataclass
class _Session:
    handle: Any
    busy: bool = True
    expires_at: float = 0.0
    to_restore: dict[str, str] = field(default_factory=dict)


class Engine:
    """The one engine of this process, on one folder."""

    def __init__(self, path: str, config_file: str) -> None:
        """Open the folder, which no other process may have open.

        Raises:
            RuntimeError: it cannot be opened.
        """
        self._path = f"{path}?config-file={config_file}"
        self._keep = chdb.connect(self._path)
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._running: dict[int, str] = {}
        facts = self._keep.query("SELECT version(), timezone()", "TabSeparated").bytes().decode().split()
        self.version, self.timezone = facts

    def close(self) -> None:
        """Close everything; takes up to two seconds when there is much data."""
        for session in self._sessions.values():
            session.handle.close()
        self._sessions.clear()
        self._keep.close()

    @contextmanager
    def numbered(self, query_id: str) -> Iterator[int]:
        """A number for one request, under which its queries can be killed."""
        number = next(self._numbers)
        self._running[number] = query_id
        try:
            yield number
        finally:
            del self._running[number]

    def kill(self, number: int) -> None:
        """Cancel whatever the request of this number runs; nothing happens if it is done."""
        with suppress(Exception), chdb.connect(self._path) as handle:
            handle.query(f"KILL QUERY WHERE Settings['{NUMBER_SETTING}'] = '{number}' ASYNC")

    def query_id_expression(self) -> bytes:
        """SQL that gives, in system.processes, the query id a client chose."""
        running = list(self._running.items())
        numbers = ", ".join(quoted(number) for number, _ in running) or "''"
        names = ", ".join(quoted(name) for _, name in running) or "''"
        return f"transform(Settings['{NUMBER_SETTING}'], [{numbers}], [{names}], '')".encode()

    def open(self, request: Request, number: int) -> Any:
        """A handle with the request's database, settings, parameters and external tables in force.

        Raises:
            ClickHouseError: the session is busy or unknown.
            RuntimeError: the engine refuses a setting.
        """
        handle = self._handle_of(request)
        try:
            self._prepare(handle, request, number)
        except BaseException:
            self.release(handle, request)
            raise
        return handle

    def release(self, handle: Any, request: Request) -> None:
        """Give a handle back: a session keeps it, without the request's own settings."""
        session = self._sessions.get(request.session_id)
        if session is None or session.handle is not handle:
            handle.close()
            return
        reusable = not request.session_ends and self._restore(session)
        with self._lock:
            session.busy = False
            session.expires_at = time.monotonic() + request.session_seconds
            if not reusable:
                del self._sessions[request.session_id]
                handle.close()

    def _handle_of(self, request: Request) -> Any:
        # A user who may not write has readonly=1, which no handle can be freed of again: no sessions for them.
        if not request.session_id or not request.user.may_write:
            return chdb.connect(self._path)
        name = request.session_id
        with self._lock:
            self._end_expired_sessions()
            session = self._sessions.get(name)
            if session is None:
                if request.session_must_exist:
                    raise refusal(372, "SESSION_NOT_FOUND", f"Session {name} not found")
                session = self._sessions[name] = _Session(chdb.connect(self._path))
            elif session.busy:
                raise refusal(373, "SESSION_IS_LOCKED", f"Session {name} is locked by a concurrent client")
            session.busy = True
            return session.handle

    def _end_expired_sessions(self) -> None:
        now = time.monotonic()
        for name in [name for name, session in self._sessions.items() if not session.busy and session.expires_at < now]:
            self._sessions.pop(name).handle.close()

    def _prepare(self, handle: Any, request: Request, number: int) -> None:
        settings = {"log_comment": request.query_id, **_ALWAYS, **request.settings}
        session = self._sessions.get(request.session_id)
        if session is not None and session.handle is handle:
            session.to_restore = _current(handle, request)
        elif request.reads_only:
            settings.setdefault("readonly", "2")
        if not request.user.may_write:
            settings["readonly"] = "1"
        settings[NUMBER_SETTING] = str(number)
        settings |= {f"param_{name}": value for name, value in request.parameters.items()}
        if request.database:
            handle.query(f"USE {identifier(request.database)}")
        for table in request.external_tables:
            _add_table(handle, table)
        # readonly last: after it nothing can be set any more.
        names = sorted(settings, key=lambda name: name == "readonly")
        handle.query("SET " + ", ".join(f"{name} = {quoted(settings[name])}" for name in names))

    def _restore(self, session: _Session) -> bool:
        values, session.to_restore = session.to_restore, {}
        try:
            if database := values.pop("database", ""):
                session.handle.query(f"USE {identifier(database)}")
            if values:
                session.handle.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in values.items()))
        except Exception:
            # Its database was dropped, or the request made the session read-only: better none than a changed one.
            return False
        return True


def _current(handle: Any, request: Request) -> dict[str, str]:
    """What the request is about to change; asked for by name: a look at system.settings takes as long as a query."""
    asked = {name: f"toString(getSetting({quoted(name)}))" for name in request.settings}
    if request.database:
        asked["database"] = "currentDatabase()"
    if not asked:
        return {}
    values = handle.query(f"SELECT {', '.join(asked.values())}", "JSONCompactEachRow").bytes()
    return dict(zip(asked, json.loads(values), strict=True))


def _add_table(handle: Any, table: ExternalTable) -> None:
    handle.query(f"CREATE TEMPORARY TABLE {identifier(table.name)} ({table.columns})")
    with handle.send_insert(f"INSERT INTO {identifier(table.name)}", table.format) as rows:
        rows.append(table.data)
        rows.finish()
