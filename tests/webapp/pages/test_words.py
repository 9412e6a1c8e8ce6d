"""Sizes, times and deeds in words."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from webapp.pages.deeds import DEEDS
from webapp.pages.templatetags.words import about, deed, hours, moment, size

WEBAPP = Path(__file__).resolve().parents[3] / "webapp"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KB"),
        (1536, "1.5 KB"),
        (10_188, "9.9 KB"),
        (10_189, "10 KB"),
        (999 * 1024, "999 KB"),
        (1000 * 1024, "1 MB"),
        (30 * 1024**2, "30 MB"),
        (4 * 1024**3, "4 GB"),
        (5 * 1024**4, "5 TB"),
        (2000 * 1024**4, "2000 TB"),
    ],
)
def test_sizes(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 hour"), (23, "23 hours"), (24, "1 day"), (36, "36 hours"), (168, "7 days")]
)
def test_hours(count: int, words: str) -> None:
    assert hours(count) == words


def test_a_moment_says_how_long_ago_and_when() -> None:
    when = timezone.now() - timedelta(minutes=3, seconds=5)
    text = moment(when)
    assert "3\xa0minutes ago" in text
    assert f'datetime="{when.isoformat(timespec="seconds")}"' in text
    assert 'title="1 February 2026, 13:45 UTC"' in moment(datetime(2026, 2, 1, 13, 45, tzinfo=UTC))
    assert moment(None) == "never"


def test_what_an_entry_is_about() -> None:
    assert about({"upload": "prints.zip", "dry_run": True}) == "prints.zip"
    assert about({"counts": {}}) == ""


def test_every_deed_that_is_recorded_has_its_words() -> None:
    """Verbs are found in the source: constants given to ``verb=``, assigned to ``verb``, or passed on as one."""
    recorded = set()
    for path in WEBAPP.rglob("*.py"):
        if "migrations" in path.parts or path.name == "deeds.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "audit" in ast.unparse(node.func):
                recorded |= {
                    constant.value
                    for keyword in node.keywords
                    if keyword.arg == "verb"
                    for constant in ast.walk(keyword.value)
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
                }
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "_start_again":
                recorded |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "verb":
                recorded |= {
                    constant.value
                    for constant in ast.walk(node.value)
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
                }
    assert {"organisation.created", "import.finished", "import.resumed", "works.deleted"} <= recorded
    assert recorded - set(DEEDS) == set()
    assert deed("organisation.created") == "made the organisation"
