"""`usage-credits prove`: settings in; a table or JSON and exit code 0 or 1 out, once or again and again."""

import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError

from pipeline.errors import sentence_for
from pipeline.monitoring.serving import serve_metrics
from pipeline.proof.metrics import publish
from pipeline.proof.outcome import Proof
from pipeline.proof.prove import Prover
from pipeline.proof.report import report
from pipeline.reading import NeverStill
from pipeline.screen import console
from pipeline.settings import Settings
from sinks.errors import Away

_PASSES = (KafkaError, Away, NeverStill, OSError, TimeoutError)
_LOOK_AGAIN_SECONDS = 5.0
_LAST = "last-proof.json"


def run_prove(*, every_seconds: float | None, wait_seconds: float, as_json: bool) -> bool:
    """Prove, and again every so many seconds until Ctrl-C; True if everything agreed every time.

    Asked for once, it does not wait for a Kafka or ClickHouse that is away, nor for a transaction that hangs; again and
    again, it does.

    Raises:
        Mendable, SinkError, KafkaError: it cannot be looked at.
    """
    settings = Settings()
    if every_seconds is not None:
        serve_metrics(settings, lambda: True)
    agreed = True
    with suppress(KeyboardInterrupt):
        while True:
            try:
                proof = _prove(settings, wait_seconds)
            except _PASSES as error:
                if every_seconds is None:
                    raise
                what = sentence_for(error) or f"{type(error).__name__}: {error}"
                print(f"{what}; trying again in {_LOOK_AGAIN_SECONDS:.0f} s", file=sys.stderr, flush=True)
                time.sleep(_LOOK_AGAIN_SECONDS)
                continue
            publish(proof)
            _remember(settings, proof)
            agreed = agreed and proof.agrees
            if as_json:
                print(json.dumps(proof.json(), indent=2 if every_seconds is None else None), flush=True)
            else:
                console().print(report(proof))
            if every_seconds is None:
                return agreed
            time.sleep(every_seconds)
    return agreed


def last_proof(settings: Settings) -> dict[str, Any] | None:
    """What the last proof on this machine said; None if there was none: at_micros, agree, compared, differing."""
    try:
        told: dict[str, Any] = json.loads((settings.data_dir / _LAST).read_text())
    except (OSError, ValueError):
        return None
    return told


def _remember(settings: Settings, proof: Proof) -> None:
    """For `usage-credits status`; a machine on which nothing can be written proves all the same."""
    tallies = proof.tallies.values()
    told = {
        "at_micros": time.time_ns() // 1_000,
        "agree": proof.agrees,
        "compared": sum(tally.compared for tally in tallies),
        "differing": sum(tally.differing for tally in tallies),
    }
    with suppress(OSError):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        whole = settings.data_dir / f"{_LAST}.new"
        whole.write_text(json.dumps(told))
        whole.replace(settings.data_dir / _LAST)


def _prove(settings: Settings, wait_seconds: float) -> Proof:
    with console(stderr=True).status("proving") as status:
        return asyncio.run(Prover(settings, wait_seconds, say=lambda what: status.update(what)).prove())
