"""How much time a job says is left."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from webapp.jobs.models import Job, JobState
from webapp.jobs.selectors import job_snapshot

WEIGHTS = {"reading": 10.0, "learning": 90.0, "measuring": 20.0}


def left(step: str, done: int, timings: dict[str, float], hours: float = 0.0) -> int | None:
    """Return the seconds left of a job that was begun so many hours ago."""
    job = Job(
        state=JobState.RUNNING,
        steps=[[key, key] for key in WEIGHTS],
        step=step,
        done=done,
        total=100,
        timings=timings,
        payload={"weights": WEIGHTS},
        started_at=timezone.now() - timedelta(hours=hours),
        updated_at=timezone.now(),
    )
    seconds: int | None = job_snapshot(job)["seconds_left"]
    return seconds


@pytest.mark.parametrize("hours", [0.1, 12])
def test_the_time_in_which_nothing_was_done_does_not_count(hours: float) -> None:
    assert left("learning", 50, {"reading": 10.0, "learning": 45.0}, hours) == 65


def test_a_slow_step_does_not_make_the_next_ones_slow() -> None:
    assert left("learning", 50, {"reading": 1000.0, "learning": 45.0}) == 65


def test_until_the_present_step_shows_its_pace_that_of_all_counts() -> None:
    assert left("learning", 0, {"reading": 20.0}) == 220


def test_nothing_is_said_before_anything_shows() -> None:
    assert left("reading", 4, {"reading": 1.0}) is None
    assert Job(state=JobState.QUEUED, steps=[["a", "a"]], step="a", done=1, total=2).seconds_left is None
