"""`usage-credits prove`: settings in; a table or JSON and exit code 0 or 1 out, once or again and again."""

import asyncio
import json
import time
from contextlib import suppress

from pipeline.proof.outcome import Proof
from pipeline.proof.prove import Prover
from pipeline.proof.report import report
from pipeline.screen import console
from pipeline.settings import Settings


def run_prove(*, every_seconds: float | None, wait_seconds: float, as_json: bool) -> bool:
    """Prove, and again every so many seconds until Ctrl-C; True if everything agreed every time.

    Raises:
        Mendable, SinkError, KafkaError: it cannot be looked at.
    """
    settings = Settings()
    agreed = True
    with suppress(KeyboardInterrupt):
        while True:
            proof = _prove(settings, wait_seconds)
            agreed = agreed and proof.agrees
            if as_json:
                print(json.dumps(proof.json(), indent=2 if every_seconds is None else None), flush=True)
            else:
                console().print(report(proof))
            if every_seconds is None:
                return agreed
            time.sleep(every_seconds)
    return agreed


def _prove(settings: Settings, wait_seconds: float) -> Proof:
    with console(stderr=True).status("proving") as status:
        return asyncio.run(Prover(settings, wait_seconds, say=lambda what: status.update(what)).prove())
