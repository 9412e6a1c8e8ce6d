"""A catalogue trains a hash on its own pictures: to its end, after a kill, and where it cannot."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from provenance.training import deephash
from tests.webapp.catalogues.conftest import import_files
from tests.webapp.conftest import Cast
from tests.webapp.deephash.conftest import finish
from tests.webapp.pictures import pixels_of, png
from webapp import files
from webapp.catalogues.models import Catalogue
from webapp.deephash import services
from webapp.deephash.models import CatalogueHash, DeepCode, TrainedModel
from webapp.deephash.storage import Part, key_of, path_of, sweep
from webapp.errors import ProductError
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import job_cancel, jobs_recover

pytestmark = pytest.mark.django_db


def begin(cast: Cast, catalogue: Catalogue, **options: Any) -> TrainedModel:
    return services.training_begin(
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
    assert (model.pictures, len(model.history), sum(model.curve)) == (3, 6, 3)
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
    monkeypatch.setattr(services, "SLICE_SECONDS", 0.0)
    model = begin(cast, pictures)
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


def test_an_empty_and_a_tiny_catalogue_are_refused_with_the_reason(
    cast: Cast, catalogue: Catalogue, pictures: Catalogue
) -> None:
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
    assert not Job.objects.filter(kind=services.TRAINING).exists()


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
