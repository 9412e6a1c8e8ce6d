"""The smoke check: one line and status 0 when the sample is found, an error when it is not."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.webapp.checks.conftest import Register, flat
from tests.webapp.conftest import make_person
from webapp.catalogues.sample import OWNER
from webapp.checks.management.commands import smoke_check
from webapp.checks.models import Check
from webapp.jobs.runner import execute
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db


def run(**options: Any) -> str:
    output = io.StringIO()
    call_command("smoke_check", stdout=output, **options)
    return output.getvalue()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the job be done while the command sleeps."""
    monkeypatch.setattr(
        smoke_check.time, "sleep", lambda _seconds: execute(str(Check.objects.latest("created_at").job_id))
    )


def test_it_works(register: Register, worker: None) -> None:
    register("picos")
    said = run()
    assert said.count("\n") == 1
    check = Check.objects.get()
    assert "Registered" in said or "Probably registered" in said
    assert f"/check/{check.pk}/" in said
    assert check.evidence.filter(work=Work.objects.get()).exists()


def test_the_demo_owner_sees_what_was_checked(register: Register, worker: None) -> None:
    owner = make_person(OWNER)
    register("coffee")
    run()
    assert Check.objects.get().owner == owner


def test_without_the_sample_it_says_so() -> None:
    assert "load_sample --again" in run()
    assert Check.objects.count() == 0


def test_a_picture_that_is_not_found_is_an_error(
    register: Register, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("picos")
    monkeypatch.setattr(smoke_check, "encode_jpeg", lambda _pixels: flat())
    with pytest.raises(CommandError, match="but it is registered"):
        run()


def test_without_a_worker_it_gives_up(register: Register) -> None:
    register("picos")
    with pytest.raises(CommandError, match="is the worker running"):
        run(timeout=0.01)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
def test_bad_patience_is_refused(seconds: str) -> None:
    with pytest.raises(CommandError, match="seconds"):
        call_command("smoke_check", f"--timeout={seconds}")
