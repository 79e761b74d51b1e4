"""A proof comes in; it goes out as gauges, for `usage-credits prove --every` with METRICS_PORT."""

import time

from prometheus_client import Gauge

from pipeline.proof.outcome import Proof, gauges

_GAUGES = {
    "usage_credits_proof_as_of_seconds": Gauge(
        "usage_credits_proof_as_of_seconds", "Ledger time of the last proof, as a Unix time", ["partition"]
    ),
    "usage_credits_proof_transaction": Gauge(
        "usage_credits_proof_transaction", "The transaction that a partition was proved as of", ["partition"]
    ),
    "usage_credits_proof_counts": Gauge(
        "usage_credits_proof_counts", "Events read, by what became of them (R41)", ["partition", "outcome"]
    ),
    "usage_credits_proof_compared": Gauge(
        "usage_credits_proof_compared", "Equations of the last proof, by name", ["equation"]
    ),
    "usage_credits_proof_differing": Gauge(
        "usage_credits_proof_differing", "Those that do not hold: anything above 0 is an alarm", ["equation"]
    ),
    "usage_credits_proof_difference_usd": Gauge(
        "usage_credits_proof_difference_usd",
        "How far apart the sums of an equation over money lie; shown only, nothing is reckoned with it",
        ["equation"],
    ),
}
_PROVED_AT = Gauge("usage_credits_proof_timestamp_seconds", "When the last proof ended, as a Unix time")


def publish(proof: Proof) -> None:
    """Replace what was said of the proof before."""
    for gauge in _GAUGES.values():
        gauge.clear()
    for name, labels, value in gauges(proof):
        _GAUGES[name].labels(**labels).set(value)
    _PROVED_AT.set(time.time())
