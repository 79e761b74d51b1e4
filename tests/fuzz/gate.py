"""The whole OpenAPI document against a running gate, by schemathesis: no 500s, and every answer is as documented.

    python -m tests.fuzz.gate --examples 200     # with servers of its own; some minutes

A gate comes in; what schemathesis found, in its own words, goes out.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.gate.documents import DOCS
from pipeline.settings import Settings
from tests.support.gate_world import BILLING, PRODUCT, ROOT, GateWorld, gate_world, make_organization, process

ORGANIZATION = "fuzzed"
DOOMED = "doomed"
"""Where organisations are closed, suspended and moved between plans."""

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
)


def tokens(gate: GateWorld) -> dict[str, str]:
    """Of whoever may call an operation, by what the document says of it."""
    return {
        "owner": gate.token("olga"),
        "product": gate.token(*PRODUCT),
        "billing:write": gate.token(*BILLING),
    }


async def fuzzed(gate: GateWorld, examples: int, seed: int, phases: str) -> tuple[int, str]:
    """Exit code and words of a run of so many random examples per operation, and of other phases."""
    for org_id in (ORGANIZATION, DOOMED):
        await make_organization(gate, org_id)
    command = [
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(Path(__file__).with_name("schemathesis.toml")),
        ),
        *("run", str(DOCS / "openapi.json"), "--url", str(gate.http.base_url), "--checks", ",".join(CHECKS)),
        *("--phases", phases, "--max-examples", str(examples), "--seed", str(seed)),
        *("--request-timeout", "30", "--no-color"),
    ]
    known = {"tokens": tokens(gate), "organization": ORGANIZATION, "doomed": DOOMED}
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.fuzz.gate_hooks", "FUZZED_GATE": json.dumps(known)}
    run = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    words, _ = await run.communicate()
    return run.returncode or 0, words.decode()


async def _main(examples: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with EmbeddedKafka(directory / "kafka") as kafka, EmbeddedClickHouse(directory / "clickhouse") as clickhouse:
            settings = Settings(
                kafka_bootstrap_servers=kafka.bootstrap_servers,
                clickhouse_url=clickhouse.url,
                data_dir=directory,
                gate_port=free_port(),
                gate_dev_tokens=True,
                gate_user_requests_per_second=10_000,
            )
            async with gate_world(settings) as gate:
                with process(settings, "sink"):
                    code, words = await fuzzed(gate, examples, seed, "examples,coverage,fuzzing")
    print(words)
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.gate")
    parser.add_argument("--examples", type=int, default=200, help="of each operation (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(asyncio.run(_main(**vars(parser.parse_args()))))
