"""Bytewax: usage comes keyed by organisation to `stateful_map`; rows and breaches go to two Kafka sinks."""

from datetime import timedelta

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from benchmarks.contenders.charging import Charged
from benchmarks.contenders.world import World

# Of one organisation: identities, and months to date.
_State = tuple[dict[str, int], dict[str, int]]


def run(world: World) -> None:
    """One worker, as `python -m bytewax.run` starts it."""

    def charge(state: _State | None, message: KafkaSourceMessage) -> tuple[_State, Charged | None]:
        state = state or ({}, {})
        return state, world.charging.charge(message.value, *state)

    brokers = world.bootstrap_servers.split(",")
    flow = Dataflow("contender")
    usage = kop.input("usage", flow, brokers=brokers, topics=[world.usage_events])
    by_organization = op.key_on("by_organization", usage.oks, lambda message: message.key.decode())
    charged = op.filter_map("charged", op.stateful_map("charge", by_organization, charge), lambda pair: pair[1])
    rows = op.map("rows", charged, lambda one: KafkaSinkMessage(one.org_id.encode(), one.row))
    kop.output("priced", rows, brokers=brokers, topic=world.priced_usage)
    breached = op.filter("breached", charged, lambda one: one.breach is not None)
    breaches = op.map("breaches", breached, lambda one: KafkaSinkMessage(one.org_id.encode(), one.breach))
    kop.output("breach", breaches, brokers=brokers, topic=world.limit_breaches)
    cli_main(flow, epoch_interval=timedelta(seconds=10))
