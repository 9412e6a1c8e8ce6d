"""The OpenAPI document: current, valid, complete, with true examples, and served as it is committed."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from tests.webapp.api import contract
from webapp.accounts.models import Scope
from webapp.codes import CODES
from webapp.errors import ErrorCode

DOCUMENT = contract.document()


def test_it_works(db: None) -> None:
    served = Client().get("/api/schema/")

    assert served.status_code == 200
    assert served["Content-Type"] == "application/vnd.oai.openapi"
    assert yaml.safe_load(served.content) == DOCUMENT


def test_the_committed_document_is_current_and_valid(capfd: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)

    assert out.getvalue().strip() == contract.FILE.read_text(encoding="utf-8").strip()
    assert "Warning" not in capfd.readouterr().err


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.oai.openapi+json"])
def test_it_is_served_as_json_too(db: None, accept: str) -> None:
    served = Client().get("/api/schema/", headers={"accept": accept})

    assert served["Content-Type"] == accept
    assert json.loads(served.content) == json.loads(json.dumps(DOCUMENT))


def test_it_is_not_sent_twice(db: None) -> None:
    first = Client().get("/api/schema/")

    assert Client().get("/api/schema/", headers={"if-none-match": first["ETag"]}).status_code == 304


@pytest.mark.parametrize(("method", "template", "operation"), contract.operations())
def test_every_operation_is_described_in_full(method: str, template: str, operation: dict[str, Any]) -> None:
    assert operation["operationId"]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    ((scheme, scopes),) = operation["security"][0].items()
    assert scheme == "apiKey"
    assert set(scopes) <= set(Scope.values)
    assert {"401", "406", "429", "500"} <= set(operation["responses"])
    assert ("403" in operation["responses"]) == bool(scopes)
    assert ("404" in operation["responses"]) == ("{" in template)
    names = {parameter["name"] for parameter in operation["parameters"]}
    if method == "GET":
        assert "If-None-Match" in names
        assert "304" in operation["responses"]
    else:
        assert "Idempotency-Key" in names
        assert {"409", "422"} <= set(operation["responses"])


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _method, _template, operation in contract.operations()]

    assert len(names) == len(set(names))


def examples() -> list[tuple[str, dict[str, Any], Any]]:
    """Return each example of an answer with where it stands and its schema."""
    found = []
    for method, template, operation in contract.operations():
        for status, response in operation["responses"].items():
            for content in contract.resolve(response).get("content", {}).values():
                for name, example in content.get("examples", {}).items():
                    found.append((f"{method} {template} {status} {name}", content["schema"], example["value"]))
    return found


@pytest.mark.parametrize(("where", "schema", "value"), [pytest.param(*each, id=each[0]) for each in examples()])
def test_examples_are_true(where: str, schema: dict[str, Any], value: Any) -> None:
    assert contract.errors_of(schema, value) == []


def test_every_answer_with_a_body_has_an_example() -> None:
    for method, template, operation in contract.operations():
        for status, response in operation["responses"].items():
            for content in contract.resolve(response).get("content", {}).values():
                binary = content["schema"].get("format") == "binary"
                assert binary or content.get("examples"), f"{method} {template} {status}"


def test_every_code_is_explained_where_problems_point(db: None) -> None:
    described = DOCUMENT["components"]["schemas"]["ProblemCode"]

    assert described["enum"] == [code.value for code in ErrorCode]
    page = Client().get("/help/errors").content.decode()
    for code in ErrorCode:
        assert f"`{code}` - {CODES[code]}" in described["description"]
        assert f'id="{code}"' in page


def test_every_enumeration_is_described() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if "enum" in schema:
            for value in schema["enum"]:
                assert f"* `{value}` - " in schema["description"], name


def test_the_checker_finds_what_is_wrong() -> None:
    """A contract that cannot fail would say nothing."""
    schema = {"$ref": "#/components/schemas/CheckLinks"}
    good = dict.fromkeys(("self", "receipt", "page"), "https://a.example/x")

    assert contract.errors_of(schema, good) == []
    assert contract.errors_of(schema, {**good, "more": 1})
    assert contract.errors_of(schema, {**good, "self": "no address"})
    assert contract.errors_of(schema, {"self": good["self"]})
    stamp = {"type": "string", "format": "date-time"}
    assert contract.errors_of(stamp, "2026-11-23T10:00:00")
    assert contract.errors_of({"type": "string", "format": "uuid"}, "1")
    assert contract.find("GET", "/api/v1/checks/a/b") is None
