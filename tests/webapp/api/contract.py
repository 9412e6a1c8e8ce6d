"""Holds answers of the API against docs/openapi.yaml: status, media type, headers, body, and nothing undeclared."""

from __future__ import annotations

import copy
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from django.http import HttpResponse
from jsonschema import Draft202012Validator, FormatChecker

FILE = Path(__file__).resolve().parents[3] / "docs" / "openapi.yaml"
# What servers and middleware add to any answer, declared or not.
_HEADERS_OF_HTTP = {
    "Allow",
    "Cache-Control",
    "Content-Length",
    "Content-Security-Policy",
    "Content-Type",
    "Cross-Origin-Opener-Policy",
    "Referrer-Policy",
    "Vary",
    "X-Content-Type-Options",
    "X-Frame-Options",
}
_formats = FormatChecker(formats=("uuid",))


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_formats.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and urlsplit(value).netloc)


@cache
def document() -> dict[str, Any]:
    """Return the committed document."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@cache
def _strict_components() -> dict[str, Any]:
    """Return the components with every object closed, so that an undeclared property is a fault."""
    components = copy.deepcopy(document()["components"])
    for schema in components["schemas"].values():
        _close(schema)
    return components


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            _close(part)
    elif isinstance(schema, list):
        for part in schema:
            _close(part)


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path template and operation object of all operations."""
    return [
        (method.upper(), template, operation)
        for template, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]


def find(method: str, path: str) -> dict[str, Any] | None:
    """Return the operation of a request; None where the document has none."""
    for found, template, operation in operations():
        if found == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            return operation
    return None


def errors_of(schema: dict[str, Any], value: Any) -> list[str]:
    """Return what is wrong with a value by a schema of the document."""
    whole = copy.deepcopy(schema)
    _close(whole)
    validator = Draft202012Validator({**whole, "components": _strict_components()}, format_checker=_formats)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the document, or what it refers to."""
    while "$ref" in part:
        section, name = part["$ref"].removeprefix("#/components/").split("/")
        part = document()["components"][section][name]
    return part


def check(method: str, path: str, response: HttpResponse) -> None:
    """Fail unless an answer is one that the document declares for this request."""
    operation = find("GET" if method == "HEAD" else method, path)
    if operation is None:
        assert response.status_code in (404, 405), "an address or method that is not declared answers"
        assert response["Content-Type"] == "application/problem+json"
        problem = {"$ref": "#/components/schemas/Problem"}
        assert not errors_of(problem, response.json())
        return
    where = f"{method} {path} -> {response.status_code}"
    assert str(response.status_code) in operation["responses"], f"{where} is not declared: {response.content!r}"
    declared = resolve(operation["responses"][str(response.status_code)])
    headers = {name: resolve(header) for name, header in declared["headers"].items()}
    for name, header in headers.items():
        if name in response:
            value: Any = response[name]
            if header["schema"]["type"] == "integer":
                assert re.fullmatch(r"\d+", value), f"{where}: {name} is {value}"
                value = int(value)
            assert not errors_of(header["schema"], value), f"{where}: {name}"
        else:
            assert not header["required"], f"{where}: {name} is missing"
    assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= set(response.headers), where
    undeclared = set(response.headers) - set(headers) - _HEADERS_OF_HTTP
    assert not undeclared, f"{where}: {undeclared} are not declared"
    if method == "HEAD":
        return
    content = declared.get("content")
    if content is None:
        assert response.content == b"", f"{where}: a body that is not declared"
        return
    assert response["Content-Type"] in content, f"{where}: {response['Content-Type']}"
    schema = content[response["Content-Type"]]["schema"]
    if schema.get("format") != "binary":
        assert errors_of(schema, response.json()) == [], where
