"""A real Prometheus with our alert rules: where the processes are comes in; answers to queries go out."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from pipeline.embedded.ports import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
CONFIG = DEPLOY / "prometheus" / "prometheus.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "usage-credits.json"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs."""

    http: httpx.AsyncClient

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The series of an instant query, each with its labels."""
        answer = (await self.http.get("/api/v1/query", params={"query": expression})).json()
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    async def get(self, path: str) -> Any:
        """The data of an answer of its API."""
        return (await self.http.get(f"/api/v1/{path}")).json()["data"]


def program(name: str) -> str:
    """Where one of Prometheus' programs is."""
    found = shutil.which(name)
    assert found, f"{name} is missing: apt-get install prometheus"
    return found


def panels() -> Iterator[tuple[str, str]]:
    """(title, query) of every panel, as Grafana would ask."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in an expression."""
    return set(re.findall(r"\b(?:ledger|sink|gate|usage_credits|event_loop|process)_[a-z_0-9]+", expression))


@asynccontextmanager
async def prometheus(folder: Path, jobs: Mapping[str, str]) -> AsyncIterator[Prometheus]:
    """Runs while the block does.

    Args:
        jobs: job → HOST:PORT; the jobs are those of the configuration in deploy/.
    """
    address = f"127.0.0.1:{free_port()}"
    started = _start(folder, jobs, address)
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as http:
            await _ready(http, started, folder / "prometheus.log")
            yield Prometheus(http)
    finally:
        started.terminate()
        started.wait(20)


def _start(folder: Path, jobs: Mapping[str, str], address: str) -> "subprocess.Popen[bytes]":
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    config["rule_files"] = [str(ALERTS)]
    config["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [jobs[job["job_name"]]]}]}
        for job in config["scrape_configs"]
        if job["job_name"] in jobs
    ]
    assert len(config["scrape_configs"]) == len(jobs)
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


async def _ready(http: httpx.AsyncClient, started: "subprocess.Popen[bytes]", log: Path) -> None:
    while True:
        assert started.poll() is None, f"Prometheus ended; see {log}"
        try:
            if (await http.get("/-/ready")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.05)
