"""What runs the system elsewhere, held against the schemas of whoever reads it, and against our own settings."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from pipeline.cli import main
from pipeline.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
KUBERNETES = ROOT / "deploy" / "kubernetes"
KUBERNETES_VERSION = "1.33"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = {name.upper() for name in Settings.model_fields} | {"HEALTH_URL", "SECRETS_DIR"}


def is_known(variable: str) -> bool:
    """Whether some process of ours reads it; the mailer reads its own."""
    return variable in OURS or variable.startswith(("SMTP_", "MAIL_"))


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(KUBERNETES.glob("*.yaml")):
        for number, document in enumerate(yaml.safe_load_all(file.read_text())):
            yield f"{file.name}-{number}", document


MANIFESTS = dict(manifests())


def test_compose_file_is_as_its_specification_wants_it() -> None:
    # The specification's own schema, as that package brings it; its command wants a later click than Faust does.
    (schema,) = (file for file in files("check-jsonschema") or () if file.name == "compose-spec.json")
    validator = jsonschema_rs.validator_for(json.loads(Path(schema.locate()).read_text()))
    assert [error.message for error in validator.iter_errors(yaml.safe_load(COMPOSE.read_text()))] == []


def test_dockerfile_passes_hadolint() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_image_holds_every_package_and_what_it_is_built_of_reaches_it() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for package in packages:
        assert f"COPY {package} {package}\n" in DOCKERFILE
        assert f"!{package}" in ignored


def test_compose_runs_commands_there_are_with_settings_there_are() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    ours = {name: service for name, service in services.items() if service.get("image") == "usage-credits"}
    assert ours.keys() >= {"ledger", "sink", "gate", "mailer"}
    for name, service in ours.items():
        assert service["command"][0] in main.commands or name == "mailer"
        assert all(map(is_known, service["environment"]))
    for port in (port for service in services.values() for port in service.get("ports", ())):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", [name for name in MANIFESTS if not name.startswith("kustomization")])
def test_manifests_are_as_kubernetes_wants_them(name: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], KUBERNETES_VERSION, strict=True)


def test_all_manifests_but_the_example_are_applied_together() -> None:
    listed = set(MANIFESTS["kustomization.yaml-0"]["resources"])
    assert listed | {"kustomization.yaml", "secret.example.yaml"} == {file.name for file in KUBERNETES.glob("*.yaml")}


def test_kubernetes_sets_what_some_process_reads_in_pods_that_may_do_nothing_else() -> None:
    for document in MANIFESTS.values():
        data = document.get("data", {}) | document.get("stringData", {})
        assert all(is_known(key) or key.endswith(".pem") for key in data)
    known = {document["metadata"]["name"] for document in MANIFESTS.values() if "metadata" in document}
    pods = [
        document["spec"]["template"]["spec"]
        for document in MANIFESTS.values()
        if "template" in document.get("spec", {})
    ]
    assert len(pods) == 6
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = pod["containers"]
        assert container["args"][0] in main.commands or container["name"] == "mailer"
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert {next(iter(source.values()))["name"] for source in container["envFrom"]} <= known


def test_scaling_goes_by_metrics_that_are_published() -> None:
    import pipeline.monitoring.ledger as ledger
    import sinks.metrics as sink

    published = {ledger.LAG_SECONDS._name, sink.LAG_RECORDS._name}
    asked = {
        metric["pods"]["metric"]["name"]
        for document in MANIFESTS.values()
        if document["kind"] == "HorizontalPodAutoscaler"
        for metric in document["spec"]["metrics"]
        if metric["type"] == "Pods"
    }
    assert asked == published


def test_grafana_finds_the_dashboard_and_the_source_it_names() -> None:
    grafana = ROOT / "deploy" / "grafana"
    (source,) = yaml.safe_load((grafana / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((grafana / "provisioning/dashboards/usage-credits.yml").read_text())["providers"]
    board = json.loads((grafana / "dashboards/usage-credits.json").read_text())
    mounts = yaml.safe_load(COMPOSE.read_text())["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
