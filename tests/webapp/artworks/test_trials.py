"""What changed? One altered pixel, another key, another picture."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from provenance.artwork.generator import generate
from provenance.artwork.recipe import Recipe
from provenance.artwork.signature import pixel_digest
from tests.webapp.artworks.conftest import PROMPT, finish, upload
from tests.webapp.conftest import Cast
from tests.webapp.pages.test_public import Page
from tests.webapp.pictures import pixels_of as picture_of_seed
from tests.webapp.pictures import png
from webapp import files
from webapp.artworks.models import ArtworkSecret, Trial
from webapp.artworks.storage import Part, key_of, pixels_of
from webapp.artworks.trials import Alteration, picture_of, trial_create, trials_expire
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute

pytestmark = pytest.mark.django_db
ADDRESS = "/artworks/what-changed/"


def trial(cast: Cast, **options: Any) -> Trial:
    given: dict[str, Any] = {
        "owner": cast.owner,
        "prompt": PROMPT,
        "picture": picture_of_seed(1, 40, 30),
        "alteration": Alteration(39, 29, (1, 2, 3)),
    }
    return trial_create(**{**given, **options})


def test_it_works(cast: Cast) -> None:
    client = cast.client("owner")
    page = client.get(ADDRESS).content.decode()
    assert Page(page).inline == []
    given = {"prompt": PROMPT, "source": "example", "x": "12", "y": "20", "colour": "#e0218a"}
    response = client.post(ADDRESS, given)
    made = Trial.objects.get()
    assert response["Location"] == reverse("artworks:trial", args=[made.pk])
    assert (made.x, made.y, made.before, made.after) == (12, 20, "#9a1f1f", "#e0218a")
    assert "data-preview" in client.get(response["Location"]).content.decode()
    assert finish(made.job).state == JobState.SUCCEEDED
    made.refresh_from_db()
    assert made.ssim is not None
    assert made.equal_share is not None
    assert made.equal_share < 1
    assert 80 < made.bits_changed < 176, "every bit of a digest changes as by a coin"
    assert made.commitments[0] != made.commitments[1]
    done = client.get(response["Location"]).content.decode()
    assert Page(done).inline == []
    assert "One pixel, another picture" in done
    assert all(commitment in done for commitment in made.commitments)
    assert not ArtworkSecret.objects.exists()


def test_the_two_pictures_are_those_of_the_two_keys_by_one_recipe(cast: Cast) -> None:
    signature = picture_of_seed(1, 40, 30)
    made = trial(cast, picture=signature)
    finish(made.job)
    altered = signature.copy()
    altered[29, 39] = (1, 2, 3)
    recipe = Recipe.from_json(made.recipe)
    for part, picture in ((Part.FIRST, signature), (Part.SECOND, altered)):
        expected = generate(recipe, PROMPT, pixel_digest(picture)).pixels
        assert np.array_equal(pixels_of(files.read(Area.ARTWORKS, key_of(made.pk, part))), expected)


def test_it_goes_on_in_slices(cast: Cast, settings: Any) -> None:
    made = trial(cast)
    settings.ARTWORK_SLICE_SECONDS = settings.ARTWORK_CHECKPOINT_SECONDS = 0
    execute(str(made.job_id))
    assert Job.objects.get(pk=made.job_id).state == JobState.QUEUED
    assert finish(made.job).state == JobState.SUCCEEDED


def test_the_second_picture_does_not_go_on_from_the_first(
    cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may be killed when the first is kept and its checkpoint is still there."""
    settings.ARTWORK_CHECKPOINT_SECONDS = 0
    undisturbed, made = trial(cast), trial(cast)
    Trial.objects.filter(pk=undisturbed.pk).update(recipe=made.recipe)
    finish(undisturbed.job)
    monkeypatch.setattr("webapp.artworks.studio.Studio.forget", lambda _self: None)
    finish(made.job)
    one, other = (files.read(Area.ARTWORKS, key_of(pk, Part.SECOND)) for pk in (made.pk, undisturbed.pk))
    assert one == other


@pytest.mark.parametrize(
    ("alteration", "field"),
    [(Alteration(40, 0, (0, 0, 0)), "x"), (Alteration(0, 30, (0, 0, 0)), "x")],
)
def test_a_pixel_outside_is_refused(cast: Cast, alteration: Alteration, field: str) -> None:
    with pytest.raises(ProductError) as caught:
        trial(cast, alteration=alteration)
    assert list(caught.value.fields) == [field]
    assert "40 × 30" in str(caught.value.message)


def test_the_colour_it_has_already_is_refused(cast: Cast) -> None:
    picture = picture_of_seed(1, 40, 30)
    red, green, blue = (int(value) for value in picture[3, 5])
    with pytest.raises(ProductError) as caught:
        trial(cast, picture=picture, alteration=Alteration(5, 3, (red, green, blue)))
    assert list(caught.value.fields) == ["colour"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt": " "}, "prompt"),
        ({"x": "-1"}, "x"),
        ({"colour": "red"}, "colour"),
        ({"source": "own"}, "picture"),
        ({"source": "own", "picture": upload(b"no picture", "a.png")}, "picture"),
        ({"source": "own", "picture": upload(b"", "a.png")}, "picture"),
        ({"x": "500"}, "x"),
    ],
)
def test_what_will_not_do_is_told_beside_its_field(cast: Cast, changes: dict[str, Any], field: str) -> None:
    given = {"prompt": PROMPT, "source": "example", "x": "1", "y": "1", "colour": "#000001", **changes}
    response = cast.client("owner").post(ADDRESS, given)
    assert response.status_code in (400, 415)
    assert field in response.context["form"].errors
    assert not Trial.objects.exists()


def test_a_picture_of_ones_own_is_taken(cast: Cast) -> None:
    given = {"prompt": PROMPT, "source": "own", "x": "1", "y": "2", "colour": "#000001"}
    cast.client("owner").post(ADDRESS, {**given, "picture": upload(png(4), "own.png")})
    red, green, blue = (int(value) for value in picture_of_seed(4)[2, 1])
    assert Trial.objects.get().before == f"#{red:02x}{green:02x}{blue:02x}"


def test_a_picture_too_large_to_wait_for_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("L", (4001, 4000)).save(buffer, "PNG")
    with pytest.raises(ProductError) as caught:
        picture_of(ContentFile(buffer.getvalue()))
    assert caught.value.code == ErrorCode.PICTURE_UNREADABLE


def test_it_is_seen_by_whoever_made_it_and_by_nobody_else(cast: Cast) -> None:
    made = trial(cast)
    finish(made.job)
    for who in ("owner", "colleague", "viewer", "outsider", "reviewer", "superuser", "anonymous"):
        client = cast.client(who)
        page = client.get(reverse("artworks:trial", args=[made.pk])).status_code
        picture = client.get(reverse("artworks:trial-picture", args=[made.pk, "first"])).status_code
        if who == "owner":
            assert (page, picture) == (200, 200)
        else:
            assert page == (302 if who == "anonymous" else 404), who
            assert picture == 404, who


def test_it_goes_when_its_time_is_over(cast: Cast, settings: Any, django_capture_on_commit_callbacks: Any) -> None:
    made = trial(cast)
    finish(made.job)
    assert trials_expire() == 0
    Trial.objects.update(created_at=timezone.now() - timedelta(hours=settings.ARTWORK_TRIAL_HOURS, minutes=1))
    with django_capture_on_commit_callbacks(execute=True):
        assert trials_expire() == 1
    assert not Trial.objects.exists()
    assert not Job.objects.exists()
    assert not files.path_of(Area.ARTWORKS, key_of(made.pk, Part.FIRST)).exists()
