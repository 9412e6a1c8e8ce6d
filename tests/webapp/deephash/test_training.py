"""A catalogue trains a hash on its own pictures: to its end, after a kill, and where it cannot."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from provenance.hashing.autoencoders import grey
from provenance.training import deephash, deephash_pictures
from tests.webapp.catalogues.conftest import import_files
from tests.webapp.conftest import Cast
from tests.webapp.deephash.conftest import finish, trained
from tests.webapp.pictures import flat_png, jpeg, pixels_of, png
from webapp import files
from webapp.catalogues.models import Catalogue
from webapp.deephash import services, training
from webapp.deephash.hashes import trained_hash
from webapp.deephash.models import CatalogueHash, DeepCode, TrainedModel
from webapp.deephash.services import pixels_of as pixels_of_work
from webapp.deephash.services import works_of
from webapp.deephash.storage import Part, key_of, path_of, sweep
from webapp.errors import ProductError
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import job_cancel, jobs_recover
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db


def begin(cast: Cast, catalogue: Catalogue, **options: Any) -> TrainedModel:
    return training.training_begin(
        catalogue=catalogue, **{"kind": "con-vae", "bits": 64, "actor": cast.owner, **options}
    )


@pytest.mark.usefixtures("small")
def test_it_works(cast: Cast, pictures: Catalogue) -> None:
    client = cast.client("owner")
    response = client.post(reverse("deephash:train", args=[pictures.pk]), {"kind": "con-vae", "bits": "64"})
    address = reverse("deephash:page", args=[pictures.pk])
    assert response["Location"] == address
    model = TrainedModel.objects.get()
    assert "Training con-vae of 64 bits" in client.get(address).content.decode()
    assert client.post(reverse("deephash:train", args=[pictures.pk]), {"kind": "vte", "bits": "64"}).status_code == 409
    assert finish(model.job).state == JobState.SUCCEEDED
    model.refresh_from_db()
    assert (model.pictures, model.held_out, len(model.history), sum(model.curve)) == (2, 1, 6, 2)
    assert trained_hash(model).policy.source.endswith("one of which it did not learn from")
    assert not files.path_of(Area.DEEPHASH, key_of(model.pk, Part.LEVELS)).exists()
    choice = CatalogueHash.objects.get(catalogue=pictures)
    assert choice.algorithm == model.algorithm
    assert choice.job is not None
    finish(choice.job)
    assert DeepCode.objects.filter(algorithm=model.algorithm).count() == 3
    asked = io.BytesIO(png(3))
    asked.name = "3.png"
    page = client.post(address, {"picture": asked}).content.decode()
    assert "none: they are the same" in page
    assert model.algorithm in page


def test_a_picture_that_is_there_twice_does_not_count_as_two_different_ones(catalogue: Catalogue) -> None:
    model = trained(catalogue)
    levels = np.stack([grey(pixels_of(seed), 128) for seed in (1, 2, 3)])
    again = grey(np.asarray(Image.open(io.BytesIO(jpeg(1)))), 128)
    assert (again != levels[0]).any()
    held_out, learnt = np.array([0]), np.array([1, 2, 3])
    assert sum(training._curve(model, np.stack([*levels, again]), held_out, learnt)) == 2, "of three pairs"
    assert sum(training._curve(model, np.stack([levels[0], again]), held_out, np.array([1]))) == 0
    assert trained_hash(model).policy.source.endswith("which it learnt from")


@pytest.mark.usefixtures("small")
def test_pictures_are_read_in_slices_each_once_and_not_more_than_are_learnt_from(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_files(pictures, {"4.png": png(4)})
    files.delete(Area.WORKS, works_of(pictures).order_by("pk")[0].sha256)
    read: list[uuid.UUID] = []

    def reading(work: Work) -> Any:
        read.append(work.pk)
        return pixels_of_work(work)

    monkeypatch.setattr(services, "pixels_of", reading)
    monkeypatch.setattr(training, "SLICE_SECONDS", 0.0)
    for module in (deephash_pictures, training):
        monkeypatch.setattr(module, "LEAST_PICTURES", 2)
    monkeypatch.setattr(training, "MOST_LEARNT", 2)
    model = begin(cast, pictures)
    for count in (1, 2, 3):
        execute(str(model.job_id))
        assert len(read) == count
        assert not path_of(model.pk, Part.LEVELS).exists()
        # As one that was killed while it wrote leaves it.
        with path_of(model.pk, Part.READING).open("ab") as file:
            file.write(b"half a picture")
    assert finish(model.job).state == JobState.SUCCEEDED
    assert len(set(read)) == len(read) == 3
    model.refresh_from_db()
    assert (model.pictures, model.held_out) == (1, 1)


@pytest.mark.usefixtures("small")
def test_a_tenth_is_not_learnt_from_and_thresholds_are_of_it(
    cast: Cast, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_files(catalogue, {f"{seed}.png": png(seed) for seed in range(12)})
    learnt: set[int] = set()
    pictures_of = deephash.Trainer._pictures

    def learning(trainer: deephash.Trainer, rows: Any) -> Any:
        if trainer.net.training:
            learnt.update(int(row) for row in rows)
        return pictures_of(trainer, rows)

    monkeypatch.setattr(deephash.Trainer, "_pictures", learning)
    model = begin(cast, catalogue)
    assert finish(model.job).state == JobState.SUCCEEDED
    model.refresh_from_db()
    assert learnt == set(range(12)) - {0, 10}
    assert (model.pictures, model.held_out, sum(model.curve)) == (10, 2, 20)
    page = cast.client("owner").get(reverse("deephash:page", args=[catalogue.pk])).content.decode()
    assert f"reconstruction {model.history[-1]['tune_psnr']:.1f} dB of 2 others" in page


@pytest.mark.usefixtures("small")
def test_plain_pictures_are_not_learnt_from(cast: Cast, pictures: Catalogue) -> None:
    import_files(pictures, {"flat.png": flat_png()})
    assert works_of(pictures).count() == 4
    model = begin(cast, pictures)
    assert finish(model.job).state == JobState.SUCCEEDED
    model.refresh_from_db()
    assert model.pictures + model.held_out == 3


@pytest.mark.usefixtures("small")
def test_a_killed_training_goes_on_where_it_was(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deephash, "CHECKPOINT_SECONDS", 0.0)
    model = begin(cast, pictures)
    steps: list[int] = []
    take_step = deephash.Trainer._take_step

    def killed(trainer: deephash.Trainer) -> None:
        steps.append(trainer.step)
        if len(steps) == 4:
            raise SystemExit
        take_step(trainer)

    monkeypatch.setattr(deephash.Trainer, "_take_step", killed)
    with pytest.raises(SystemExit):
        execute(str(model.job_id))
    Job.objects.filter(pk=model.job_id).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert jobs_recover() == 1
    assert finish(model.job).state == JobState.SUCCEEDED
    assert steps == [0, 1, 2, 3, 3, 4, 5], "the step in hand is taken again, those before it are not"


@pytest.mark.usefixtures("small")
def test_one_that_is_cancelled_leaves_nothing(cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SLICE_SECONDS", 0.0)
    model = begin(cast, pictures)
    for _slice in range(4):
        execute(str(model.job_id))
    assert path_of(model.pk, Part.CHECKPOINT).exists()
    job_cancel(job=model.job)
    assert "The training was cancelled" in cast.client("owner").get(
        reverse("deephash:page", args=[pictures.pk])
    ).content.decode()
    assert services.models_of(pictures).count() == 0
    monkeypatch.setattr("webapp.deephash.storage._DAY", -1.0)
    sweep()
    assert not path_of(model.pk, Part.CHECKPOINT).exists()
    assert not CatalogueHash.objects.exists()


@pytest.mark.usefixtures("small")
def test_one_that_is_cancelled_while_thresholds_are_measured_is_not_used_and_its_weights_go(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = begin(cast, pictures)
    curve = training._curve

    def meanwhile(*given: Any) -> list[int]:
        job_cancel(job=model.job)
        return curve(*given)

    monkeypatch.setattr(training, "_curve", meanwhile)
    assert finish(model.job).state == JobState.CANCELLED
    assert not CatalogueHash.objects.exists()
    model.refresh_from_db()
    assert model.trained_at is None
    assert path_of(model.pk, Part.WEIGHTS).exists()
    other = trained(pictures)
    monkeypatch.setattr("webapp.deephash.storage._DAY", -1.0)
    sweep()
    assert not path_of(model.pk, Part.WEIGHTS).exists()
    assert path_of(other.pk, Part.WEIGHTS).exists()


@pytest.mark.usefixtures("small")
def test_pictures_that_were_read_and_are_lost_are_read_again(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SLICE_SECONDS", 0.0)
    model = begin(cast, pictures)
    for _slice in range(2):
        execute(str(model.job_id))
    path_of(model.pk, Part.READING).unlink()
    assert finish(model.job).state == JobState.SUCCEEDED
    model.refresh_from_db()
    assert model.pictures + model.held_out == 3


@pytest.mark.usefixtures("small")
def test_one_whose_error_grows_past_all_numbers_says_so(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deephash, "LEARNING_RATE", 1e30)
    job = finish(begin(cast, pictures).job)
    assert (job.state, job.error_code) == (JobState.FAILED, "invalid")
    assert "grew past all numbers" in job.error_message


@pytest.mark.usefixtures("small")
def test_pictures_that_do_not_count_are_named_in_the_refusal(cast: Cast, catalogue: Catalogue) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(1)).convert("L").save(buffer, "PNG")
    import_files(catalogue, {"1.png": png(1), "the same in grey.png": buffer.getvalue(), "flat.png": flat_png()})
    job = finish(begin(cast, catalogue).job)
    assert job.error_message == (
        "A hash needs at least 3 different pictures, not 1. "
        "2 pictures of the catalogue do not count: they are too simple, cannot be read, or are the same as others."
    )
    for work in works_of(catalogue):
        files.delete(Area.WORKS, work.sha256)
    job = finish(begin(cast, catalogue).job)
    assert job.error_message.startswith("There is no picture to learn from. 3 pictures of the catalogue do not count")


def test_an_empty_and_a_tiny_catalogue_are_refused_with_the_reason(
    cast: Cast, catalogue: Catalogue, pictures: Catalogue
) -> None:
    page = cast.client("owner").get(reverse("deephash:page", args=[pictures.pk])).content.decode()
    assert "at least 64 pictures" in page, "it is said beforehand"
    assert "has 3 pictures" in page
    with pytest.raises(ProductError, match="has 3 pictures; a hash needs at least 64"):
        begin(cast, pictures)
    catalogue.items.all().delete()
    with pytest.raises(ProductError, match="has 0 pictures"):
        begin(cast, catalogue)
    response = cast.client("owner").post(
        reverse("deephash:train", args=[catalogue.pk]), {"kind": "con-vae", "bits": "64"}
    )
    assert response.status_code == 400
    assert "at least 64" in response.content.decode()
    bad = cast.client("owner").post(reverse("deephash:train", args=[catalogue.pk]), {"kind": "md5", "bits": "7"})
    assert bad.status_code == 400
    assert not Job.objects.filter(kind=training.TRAINING).exists()


@pytest.mark.usefixtures("small")
def test_a_catalogue_of_one_picture_again_and_again_is_refused_with_the_reason(
    cast: Cast, catalogue: Catalogue
) -> None:
    def saved(quality: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels_of(1)).save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    import_files(catalogue, {f"{quality}.jpg": saved(quality) for quality in (80, 85, 90, 95)})
    model = begin(cast, catalogue)
    job = finish(model.job)
    assert job.state == JobState.FAILED
    assert "only 1 differ from each other" in job.error_message
    page = cast.client("owner").get(reverse("deephash:page", args=[catalogue.pk])).content.decode()
    assert "only 1 differ from each other" in page


def test_a_refused_form_s_address_leads_back_to_the_page(cast: Cast, pictures: Catalogue) -> None:
    client, page = cast.client("owner"), reverse("deephash:page", args=[pictures.pk])
    forms = {
        reverse("deephash:train", args=[pictures.pk]): {"kind": "con-vae", "bits": "64"},
        reverse("deephash:choose", args=[pictures.pk]): {"algorithm": "md5"},
        reverse("deephash:delete", args=[pictures.pk, trained(pictures).pk]): {},
    }
    for address, data in forms.items():
        assert client.post(address, data).status_code == 400
        assert client.get(address)["Location"] == page


@pytest.mark.usefixtures("small")
def test_a_refusal_is_not_taken_away_by_the_page_that_loads_itself_anew(cast: Cast, pictures: Catalogue) -> None:
    client, address = cast.client("owner"), reverse("deephash:train", args=[pictures.pk])
    begin(cast, pictures)
    watched = client.get(reverse("deephash:page", args=[pictures.pk])).content.decode()
    refused = client.post(address, {"kind": "con-vae", "bits": "64"}).content.decode()
    assert "is being trained on this catalogue" in refused
    for how in ("js/jobs.js", 'http-equiv="refresh"'):
        assert how in watched
        assert how not in refused
