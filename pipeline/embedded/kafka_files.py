"""The two files a single Kafka node is started from: ports and paths in, server.properties and log4j2.yaml out."""

import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.embedded.ports import LOOPBACK

STARTED = "Kafka Server started"
_HEAP_FRIENDLY_CLEANER_BYTES = 16 * 1024 * 1024


def server_properties(log_dir: Path, port: int, controller_port: int, settings: Mapping[str, str]) -> str:
    """The settings of one node, broker and controller in one, for itself alone; `settings` win over ours.

    The listener for clients is called CLIENT, so SASL and TLS are `listener.security.protocol.map` and
    `listener.name.client.*` away.
    """
    ours = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "listeners": f"CLIENT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"CLIENT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(log_dir),
        # One node cannot replicate.
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # The defaults (50 each) are for fleets; creating them is most of the wait of the first group or transaction.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # SESSION_TIMEOUT_MS may be as short as this; Kafka's own bound is 6 s.
        "group.min.session.timeout.ms": "1000",
        # A misspelt topic is an error, and nothing is thrown away that no topic said to throw away.
        "auto.create.topics.enable": "false",
        "log.retention.ms": "-1",
        "log.retention.bytes": "-1",
        # To disk within about a second: without replicas a power cut takes what only the page cache had. A flush after
        # every batch made transactions five times as long; this cost nothing that could be measured.
        "log.flush.interval.ms": "1000",
        "log.flush.scheduler.interval.ms": "1000",
        # After a kill the old registration has to expire before the node serves again: 4 s, not 9.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(_HEAP_FRIENDLY_CLEANER_BYTES),
    }
    return "".join(f"{name}={value}\n" for name, value in {**ours, **settings}.items())


def log_configuration(log_file: Path) -> str:
    """Everything from INFO up into the log, by size; errors and the word that it serves also to standard output."""
    pattern = {"pattern": "[%d] %p %m (%c)%n"}
    configuration = {
        "status": "error",
        "Appenders": {
            "Console": {
                "name": "OUT",
                "PatternLayout": {"pattern": "%p %m%n%throwable{short}"},
                "Filters": {
                    "RegexFilter": {
                        "regex": f".*{STARTED}.*",
                        "onMatch": "ACCEPT",
                        "onMismatch": "NEUTRAL",
                    },
                    "ThresholdFilter": {"level": "ERROR"},
                },
            },
            "RollingFile": {
                "name": "FILE",
                "fileName": str(log_file),
                "filePattern": f"{log_file}.%i",
                "PatternLayout": pattern,
                "SizeBasedTriggeringPolicy": {"size": "10 MB"},
                "DefaultRolloverStrategy": {"max": "2"},
            },
        },
        "Loggers": {
            "Root": {"level": "INFO", "AppenderRef": [{"ref": "OUT"}, {"ref": "FILE"}]},
        },
    }
    return json.dumps({"Configuration": configuration}, indent=2)
