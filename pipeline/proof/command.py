"""`usage-credits prove`: settings in; a table or JSON and exit code 0 or 1 out, once or again and again."""

import asyncio
import json
import sys
import time
from contextlib import suppress

from aiokafka.errors import KafkaError

from pipeline.errors import sentence_for
from pipeline.proof.outcome import Proof
from pipeline.proof.prove import Prover
from pipeline.proof.report import report
from pipeline.screen import console
from pipeline.settings import Settings
from sinks.errors import Away

_AWAY = (KafkaError, Away, OSError, TimeoutError)
_LOOK_AGAIN_SECONDS = 5.0


def run_prove(*, every_seconds: float | None, wait_seconds: float, as_json: bool) -> bool:
    """Prove, and again every so many seconds until Ctrl-C; True if everything agreed every time.

    Asked for once, it does not wait for a Kafka or ClickHouse that is away; again and again, it does.

    Raises:
        Mendable, SinkError, KafkaError: it cannot be looked at.
    """
    settings = Settings()
    agreed = True
    with suppress(KeyboardInterrupt):
        while True:
            try:
                proof = _prove(settings, wait_seconds)
            except _AWAY as error:
                if every_seconds is None:
                    raise
                what = sentence_for(error) or f"{type(error).__name__}: {error}"
                print(f"{what}; trying again in {_LOOK_AGAIN_SECONDS:.0f} s", file=sys.stderr, flush=True)
                time.sleep(_LOOK_AGAIN_SECONDS)
                continue
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
