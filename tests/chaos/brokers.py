"""The brokers of a chaos run: a directory and their number in; one Kafka, or three that replicate, out.

Each has a second listener, which is told to clients as the port of a proxy.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pipeline.embedded.kafka import EmbeddedKafka, random_cluster_id
from pipeline.embedded.ports import LOOPBACK, free_port
from tests.chaos.proxy import Proxy


class _Ports(NamedTuple):
    client: int
    controller: int
    proxied: int
    proxy: int


class Brokers:
    """One node, or several, each broker and controller.

    Attributes:
        replicas: of every topic; all of them but one have a record before it counts as written.
        proxies: between the second listener of each and its clients.
    """

    def __init__(self, directory: Path, count: int) -> None:
        ports = [_Ports(*(free_port() for _ in _Ports._fields)) for _ in range(count)]
        cluster_id = random_cluster_id()
        self.nodes = [
            EmbeddedKafka(
                directory / f"kafka-{number}",
                port=ports[number].client,
                settings=_settings(number, ports),
                new_cluster_id=cluster_id,
            )
            for number in range(count)
        ]
        self.replicas = count
        self.proxies = [Proxy(one.proxy, one.proxied) for one in ports]
        self.addresses = ",".join(f"{LOOPBACK}:{one.client}" for one in ports)
        self.proxied_addresses = ",".join(f"{LOOPBACK}:{one.proxy}" for one in ports)

    def start(self) -> None:
        """All at once: none serves before most are there."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(EmbeddedKafka.start, self.nodes))

    def stop(self) -> None:
        """The last of them have nobody to hand over to, so they are not asked."""
        if len(self.nodes) == 1:
            self.nodes[0].stop()
        for node in self.nodes:
            node.kill()


def _settings(number: int, ports: Sequence[_Ports]) -> dict[str, str]:
    own, replicas, in_sync = ports[number], str(len(ports)), str(max(1, len(ports) - 1))
    return {
        "node.id": str(number + 1),
        "controller.quorum.voters": ",".join(f"{i}@{LOOPBACK}:{one.controller}" for i, one in enumerate(ports, 1)),
        "listeners": f"CLIENT://{LOOPBACK}:{own.client},CONTROLLER://{LOOPBACK}:{own.controller},"
        f"PROXIED://{LOOPBACK}:{own.proxied}",
        "advertised.listeners": f"CLIENT://{LOOPBACK}:{own.client},PROXIED://{LOOPBACK}:{own.proxy}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }
