"""OpenAPI and AsyncAPI, as checked in, are what the code says."""

import json

import jsonschema_rs
import pytest

from pipeline.domain.permissions import PERMISSIONS
from pipeline.gate.documents import DOCS, asyncapi, openapi, written
from pipeline.gate.resources import RESOURCES
from schemas.commands import SetContact


@pytest.mark.parametrize("path", [DOCS / "openapi.json", DOCS / "asyncapi.json"], ids=lambda path: path.name)
def test_the_document_is_what_the_code_says(path: object) -> None:
    text = {where: said for where, said in written().items() if where == path}
    assert text == {path: path.read_text()}, "run python -m pipeline.gate.documents"  # type: ignore[attr-defined]


def test_every_command_is_a_resource_once() -> None:
    assert sorted(resource.command.__name__ for resource in RESOURCES) == sorted(
        command.__name__ for command in PERMISSIONS if command is not SetContact
    )


def test_openapi_is_3_1_and_every_body_has_an_example_that_fits_its_schema() -> None:
    document = openapi()
    assert document["openapi"].startswith("3.1")
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            examples = [example["value"] for example in content.get("examples", {}).values()]
            assert examples or not content or path == "/v1/admission", f"{method} {path} has no example"
            for example in examples:
                jsonschema_rs.validate(content["schema"] | {"components": document["components"]}, example)


def test_where_null_may_stand_an_example_shows_it() -> None:
    for resource in RESOURCES:
        schema = resource.command.model_json_schema()
        nullable = {
            name
            for name, field in schema["properties"].items()
            if {"type": "null"} in field.get("anyOf", ()) and name in schema["required"]
        }
        shown = [example["value"] for example in resource.examples().values()]
        assert nullable <= {name for body in shown for name in body if body[name] is None}, resource.path


def test_every_schema_that_asyncapi_names_is_there() -> None:
    for channel in asyncapi()["channels"].values():
        for message in channel["messages"].values():
            assert json.loads((DOCS / message["payload"]["schema"]["$ref"]).read_text())
