"""Settings come in; a gate that answers HTTP until SIGTERM or Ctrl-C goes out."""

import asyncio
import gc
import ipaddress
from types import FrameType

import uvicorn

from pipeline.errors import Mendable
from pipeline.gate.app import gate_app
from pipeline.gate.parts import Gate, gate_parts
from pipeline.rights_admin import when_ready
from pipeline.settings import Settings

_STOP_SECONDS = 10
_MOST_CONNECTIONS = 4_000


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run_gate(settings: Settings) -> None:
    """Serve until asked to stop; requests under way are answered.

    Raises:
        Mendable: nobody could be known, or development tokens off loopback.
        TopicsWrong: the topics are not made, or others.
        NotLetIn, RightsLacking: Kafka does not take us, or not for a gate.
    """
    if settings.gate_dev_tokens and not is_loopback(settings.gate_host):
        raise Mendable(f"GATE_DEV_TOKENS is for loopback alone; GATE_HOST is {settings.gate_host}")
    if not settings.gate_dev_tokens and settings.gate_issuer is None:
        raise Mendable(
            "nobody could call: set GATE_ISSUER to an OIDC issuer's URL, or GATE_DEV_TOKENS=true on loopback"
        )
    asyncio.run(when_ready(settings, "gate"))
    gate = gate_parts(settings)
    app = gate_app(gate)
    # Routes and models stay for ever: looking for cycles among them would hold up whoever asks meanwhile.
    gc.freeze()
    config = uvicorn.Config(
        app,
        host=settings.gate_host,
        port=settings.gate_port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_STOP_SECONDS,
        limit_concurrency=_MOST_CONNECTIONS,
        backlog=1_024,
    )
    _Server(config, gate).run()


class _Server(uvicorn.Server):
    """Tells streams that never end by themselves that it is time."""

    def __init__(self, config: uvicorn.Config, gate: Gate) -> None:
        super().__init__(config)
        self._gate = gate

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came: end in order and with exit code 0, as all our processes do; Uvicorn would raise it again."""
        self._gate.is_stopping = True
        self.should_exit = True
