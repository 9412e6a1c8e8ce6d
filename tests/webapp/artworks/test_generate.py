"""Generating and registering: what comes out, what is kept, and what goes when it is over."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from provenance.artwork import recipe as recipes
from provenance.artwork.generator import generate
from provenance.artwork.recipe import Mode, Recipe
from provenance.artwork.record import Record
from tests.webapp.artworks.conftest import PROMPT, TINY, Request, finish, signature, wish
from tests.webapp.conftest import Cast
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.artworks import studio
from webapp.artworks.models import Artwork, ArtworkSecret
from webapp.artworks.services import artworks_purge
from webapp.artworks.storage import Part, key_of, preview_key, sweep
from webapp.artworks.vault import keys_of, prompt_of
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import Progress, job_cancel
from webapp.registry.models import Visibility
from webapp.registry.selectors import works_exact

pytestmark = pytest.mark.django_db


def test_it_works(requested: Request) -> None:
    artwork = requested()
    recipe = Recipe.from_json(artwork.recipe)
    assert recipe.digest == artwork.recipe_digest
    assert recipe.fits(PROMPT, signature()) == recipes.Fit(prompt=True, key=True, file=True)

    assert finish(artwork.job).state == JobState.SUCCEEDED, artwork.job.error_message

    artwork = Artwork.objects.get(pk=artwork.pk)
    expected = generate(recipe, PROMPT, signature().key)
    assert artwork.work is not None
    assert artwork.pixel_sha256 == expected.pixel_sha256
    assert artwork.latent_sha256 == expected.latent_sha256
    assert artwork.is_registered
    assert artwork.seconds is not None
    with Image.open(io.BytesIO(files.read(Area.WORKS, artwork.work.sha256))) as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture), expected.pixels)
        assert picture.info == {}
    record = Record.from_json(files.read(Area.ARTWORKS, key_of(artwork.pk, Part.RECORD)))
    assert record.recipe == recipe
    assert np.array_equal(record.codes, expected.codes)
    work = artwork.work
    assert (work.title, work.media_type, work.visibility) == ("Forest", "image/png", Visibility.PUBLIC)
    assert works_exact(pixel_sha256=work.pixel_sha256).get() == work
    assert list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))[-2:] == [
        "artwork.requested",
        "work.registered",
    ]


def test_the_keys_are_gone_when_it_is_done(requested: Request, django_capture_on_commit_callbacks: Any) -> None:
    artwork = requested()
    assert keys_of(artwork.job).prompt == PROMPT
    with django_capture_on_commit_callbacks(execute=True):
        finish(artwork.job)
    assert not ArtworkSecret.objects.exists()
    assert not files.path_of(Area.ARTWORKS, key_of(artwork.job_id, Part.CHECKPOINT)).exists()
    assert not files.path_of(Area.DERIVED, preview_key(artwork.job_id)).exists()
    assert prompt_of(Artwork.objects.get(pk=artwork.pk)) is None


def test_the_keys_are_gone_when_it_is_cancelled_while_it_waits(requested: Request) -> None:
    artwork = requested()
    job_cancel(job=artwork.job)
    assert not ArtworkSecret.objects.exists()
    artwork.refresh_from_db()
    assert artwork.has_ended_without_picture


def test_the_keys_are_gone_when_it_is_cancelled_while_it_runs(
    requested: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    artwork = requested()
    reports = []

    def report(self: Progress, step: str, done: int = 0, total: int = 0, note: str = "") -> None:
        reports.append((step, done))
        if done == 2:
            Job.objects.filter(pk=artwork.job_id).update(cancel_requested=True)
            self.check()

    monkeypatch.setattr(Progress, "__call__", report)
    execute(str(artwork.job_id))
    assert Job.objects.get(pk=artwork.job_id).state == JobState.CANCELLED
    assert reports[-1] == ("generating", 2)
    assert not ArtworkSecret.objects.exists()


def test_the_keys_are_gone_when_it_fails(requested: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    artwork = requested()

    def refuse(_job: Job) -> None:
        raise ProductError(ErrorCode.GENERATOR_UNAVAILABLE, "The models are not here.")

    monkeypatch.setattr("webapp.artworks.run.keys_of", refuse)
    job = finish(artwork.job)
    assert (job.state, job.error_code) == (JobState.FAILED, "generator_unavailable")
    assert not ArtworkSecret.objects.exists()


def test_missing_models_are_named_at_once(requested: Request, tmp_path: Any) -> None:
    from tests.artwork.weights import shipped_from

    with shipped_from(tmp_path), pytest.raises(ProductError) as caught:
        requested()
    assert caught.value.code == ErrorCode.GENERATOR_UNAVAILABLE
    assert "small-vqgan" in str(caught.value.message)


def test_slices_come_to_the_same_picture(requested: Request, settings: Any) -> None:
    artwork = requested()
    recipe = Recipe.from_json(artwork.recipe)
    settings.ARTWORK_SLICE_SECONDS = settings.ARTWORK_CHECKPOINT_SECONDS = 0
    for number in range(1, recipe.iterations):
        execute(str(artwork.job_id))
        job = Job.objects.get(pk=artwork.job_id)
        assert (job.state, job.done) == (JobState.QUEUED, number)
        sealed = files.read(Area.ARTWORKS, key_of(job.pk, Part.CHECKPOINT))
        assert b"PK" not in sealed[:4]
        assert b"latent" not in sealed
        assert files.read(Area.DERIVED, preview_key(job.pk))[:2] == b"\xff\xd8"
    execute(str(artwork.job_id))
    artwork = Artwork.objects.get(pk=artwork.pk)
    assert artwork.pixel_sha256 == generate(recipe, PROMPT, signature().key).pixel_sha256
    assert artwork.job.claim == recipe.iterations


def test_a_damaged_checkpoint_costs_time_only(requested: Request, settings: Any) -> None:
    artwork = requested()
    settings.ARTWORK_SLICE_SECONDS = settings.ARTWORK_CHECKPOINT_SECONDS = 0
    execute(str(artwork.job_id))
    key = key_of(artwork.job_id, Part.CHECKPOINT)
    files.write(Area.ARTWORKS, key, files.read(Area.ARTWORKS, key)[:-1] + b"?")
    execute(str(artwork.job_id))
    assert Job.objects.get(pk=artwork.job_id).done == 1
    settings.ARTWORK_SLICE_SECONDS = 100
    finish(artwork.job)
    recipe = Recipe.from_json(artwork.recipe)
    expected = generate(recipe, PROMPT, signature().key)
    assert Artwork.objects.get(pk=artwork.pk).pixel_sha256 == expected.pixel_sha256


def test_a_second_run_registers_nothing_twice(registered: Request) -> None:
    artwork = registered()
    Job.objects.filter(pk=artwork.job_id).update(state=JobState.QUEUED, finished_at=None)
    execute(str(artwork.job_id))
    again = Artwork.objects.get(pk=artwork.pk)
    assert again.job.state == JobState.SUCCEEDED
    assert again.work == artwork.work


def test_two_requests_of_the_same_keys_are_two_pictures(registered: Request) -> None:
    """Each recipe has a salt of its own, which the run is bound to."""
    one, other = registered(), registered()
    assert one.recipe_digest != other.recipe_digest
    assert one.pixel_sha256 != other.pixel_sha256


def test_a_fast_draft_says_so(registered: Request) -> None:
    artwork = registered(wish=wish(Mode.FAST))
    assert artwork.mode == "fast"
    assert json.loads(artwork.recipe)["mode"] == "fast"


def test_a_kept_prompt_is_sealed_and_readable(registered: Request, settings: Any) -> None:
    artwork = registered(keep_prompt=True)
    assert PROMPT.encode() not in bytes(artwork.prompt_sealed or b"")
    assert prompt_of(artwork) == PROMPT
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"
    assert prompt_of(artwork) == PROMPT
    settings.SECRET_KEY_FALLBACKS = []
    assert prompt_of(artwork) is None


def test_a_changed_secret_ends_a_job_with_a_sentence(requested: Request, settings: Any) -> None:
    artwork = requested()
    settings.SECRET_KEY = "a new one"
    job = finish(artwork.job)
    assert (job.state, job.error_code) == (JobState.FAILED, "gone")
    assert "Send them again" in job.error_message


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"prompt": "  \n "}, "prompt"),
        ({"prompt": "x" * 1001}, "prompt"),
        ({"title": f" {PROMPT.upper()}"}, "title"),
        ({"wish": replace(wish(), exclusions=("x" * 61,))}, "exclusions"),
    ],
)
def test_what_will_not_do_is_refused_with_its_field(requested: Request, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ProductError) as caught:
        requested(**options)
    assert caught.value.code == ErrorCode.INVALID
    assert list(caught.value.fields) == [field]
    assert not Artwork.objects.exists()
    assert not Job.objects.exists()


def test_there_must_be_room(requested: Request, cast: Cast) -> None:
    cast.organisation.storage_quota_bytes = 100
    cast.organisation.save()
    with pytest.raises(ProductError) as caught:
        requested()
    assert caught.value.code == ErrorCode.QUOTA_EXCEEDED


def test_an_hour_has_its_limit(requested: Request, settings: Any, cast: Cast) -> None:
    settings.ARTWORKS_PER_HOUR = 2
    requested()
    requested()
    with pytest.raises(ProductError) as caught:
        requested()
    assert caught.value.code == ErrorCode.RATE_LIMITED
    assert caught.value.retry_after
    assert "2 pictures" in str(caught.value.message)
    requested(owner=cast.colleague)


def test_progress_counts_the_iterations(requested: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    artwork = requested()
    seen: list[tuple[str, int, int, str, float]] = []
    real = Progress.__call__

    def report(self: Progress, step: str, done: int = 0, total: int = 0, note: str = "") -> None:
        real(self, step, done, total, note)
        job = Job.objects.get(pk=artwork.job_id)
        seen.append((step, done, total, note, job.fraction))

    monkeypatch.setattr(Progress, "__call__", report)
    monkeypatch.setattr("webapp.jobs.services._REPORT_EVERY_SECONDS", 0)
    finish(artwork.job)
    assert [(step, done, total) for step, done, total, _note, _fraction in seen] == [
        ("reading", 0, 0),
        *(("generating", number, TINY.iterations) for number in range(1, TINY.iterations + 1)),
        ("registering", 0, 0),
    ]
    assert all(note.startswith("loss ") for step, _done, _total, note, _fraction in seen if step == "generating")
    fractions = [fraction for *_rest, fraction in seen]
    assert fractions == sorted(fractions)
    half = next(fraction for _step, done, total, _note, fraction in seen if total and done == total / 2)
    assert half == pytest.approx(0.5, abs=0.02), "time is in the iterations"


def test_previews_come_every_few_iterations() -> None:
    assert [studio.preview_every(total) for total in (4, 40, 110, 250)] == [1, 2, 5, 12]


def test_the_sweep_takes_only_what_belongs_to_nothing(
    registered: Request, requested: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, waiting = registered(), requested()
    files.write(Area.ARTWORKS, key_of(waiting.job_id, Part.CHECKPOINT), b"kept")
    files.write(Area.ARTWORKS, key_of(done.job_id, Part.CHECKPOINT), b"left by a kill")
    files.write(Area.ARTWORKS, "0" * 32 + "-made.png", b"of nothing")
    files.write(Area.DERIVED, preview_key(done.job_id), b"left by a kill")
    half_written = files.path_of(Area.ARTWORKS, key_of(done.pk, Part.RECORD)).with_name(".writing-4711")
    half_written.write_bytes(b"left by a kill")
    monkeypatch.setattr("webapp.artworks.storage._ORPHAN_SECONDS", -1.0)
    assert sweep() == 3
    assert not half_written.exists()
    assert files.read(Area.ARTWORKS, key_of(waiting.job_id, Part.CHECKPOINT)) == b"kept"
    assert files.read(Area.ARTWORKS, key_of(done.pk, Part.RECORD))


def test_what_the_registry_purged_is_purged_here(
    registered: Request, prove: Callable[..., Any], django_capture_on_commit_callbacks: Any
) -> None:
    artwork = registered()
    proof = prove(artwork)
    assert artworks_purge() == 0
    assert artwork.work is not None
    artwork.work.delete()
    with django_capture_on_commit_callbacks(execute=True):
        assert artworks_purge() == 1
    assert not Artwork.objects.exists()
    assert not Job.objects.exists()
    for owner, part in ((artwork.pk, Part.RECORD), (proof.pk, Part.MADE), (proof.pk, Part.DIFFERENCE)):
        assert not files.path_of(Area.ARTWORKS, key_of(owner, part)).exists()
