"""METRICS_PORT comes in; Prometheus' page at /metrics and whether the loop is alive at /healthz go out, by a thread."""

import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from pipeline.errors import Mendable
from pipeline.settings import Settings

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def serve_metrics(settings: Settings, is_alive: Callable[[], bool]) -> None:
    """Serve for as long as the process lives; nothing happens where METRICS_PORT is not set.

    Raises:
        Mendable: the port is taken.
    """
    port = settings.metrics_port
    if port is None:
        return
    try:
        server = make_server(
            settings.metrics_host, port, _page(is_alive), ThreadingWSGIServer, handler_class=_SilentHandler
        )
    except OSError as error:
        raise Mendable(
            f"metrics cannot be served at {settings.metrics_host}:{port} ({error.strerror}); METRICS_PORT of each "
            "process on a machine must be another"
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def _page(is_alive: Callable[[], bool]) -> WsgiApp:
    metrics = make_wsgi_app()

    def page(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if request["PATH_INFO"] != "/healthz":
            answer: Iterable[bytes] = metrics(request, start)
            return answer
        alive = is_alive()
        start("200 OK" if alive else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"alive\n" if alive else b"the event loop is held\n"]

    return page


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Nobody wants a line every few seconds."""
