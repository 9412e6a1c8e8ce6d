"""Proving ownership: the right keys, each wrong one, a draft; and what the page says of each."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.urls import reverse
from PIL import Image

from provenance.artwork.recipe import Mode
from provenance.hashing.code import hamming
from provenance.hashing.hasher import HASHERS
from provenance.images.quality import is_identical, psnr, ssim
from tests.webapp.artworks.conftest import FILE, PROMPT, Request, finish, signature, upload, wish
from tests.webapp.conftest import Cast
from tests.webapp.pages.test_public import Page
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.artworks.charts import charts_of
from webapp.artworks.models import Artwork, ArtworkSecret, Proof
from webapp.artworks.proofs import proof_create
from webapp.artworks.services import artwork_delete
from webapp.artworks.storage import Part, key_of, pixels_of
from webapp.artworks.views_keys import explanation_of, percent_of
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute

pytestmark = pytest.mark.django_db
Prove = Callable[..., Proof]


def address(proof: Proof, name: str = "proof", *more: str) -> str:
    return reverse(f"artworks:{name}", args=[proof.artwork_id, proof.pk, *more])


def test_it_works(cast: Cast, registered: Request) -> None:
    artwork = registered()
    client = cast.client("owner")
    prove = reverse("artworks:prove", args=[artwork.pk])
    assert Page(client.get(prove).content.decode()).inline == []
    response = client.post(prove, {"prompt": PROMPT, "signature": upload()})
    proof = Proof.objects.get()
    assert response["Location"] == address(proof)
    waiting = client.get(response["Location"]).content.decode()
    assert "The prompt is the one that the recipe commits to." in waiting
    assert "The file is the one that the recipe commits to." in waiting
    assert "Making the work again" in waiting

    finish(proof.job)
    proof.refresh_from_db()
    assert (proof.verdict, proof.redecoded) == ("identical", True)
    assert (proof.codes_equal, proof.latent_equal, proof.equal_share) == (True, True, 1.0)
    assert (proof.psnr_db, proof.ssim, proof.hash_distance) == (None, 1.0, 0)
    assert proof.pixel_sha256 == artwork.pixel_sha256
    assert not ArtworkSecret.objects.exists()
    page = client.get(response["Location"]).content.decode()
    assert Page(page).inline == []
    for words in ("<h1>Identical</h1>", "every pixel is the same", "there is no difference", "holds", "100 %", "<svg"):
        assert words in page, words
    assert AuditEntry.objects.filter(verb="artwork.proof_begun", organisation=cast.organisation).exists()


@pytest.mark.parametrize(
    ("prompt", "data", "fits"),
    [
        (PROMPT, FILE + b".", (True, False)),
        (PROMPT.upper(), FILE, (False, True)),
        ("the blue forest", b"another file", (False, False)),
    ],
)
def test_wrong_keys_make_another_picture_and_it_is_shown(
    cast: Cast, registered: Request, prove: Prove, prompt: str, data: bytes, fits: tuple[bool, bool]
) -> None:
    artwork = registered()
    proof = prove(artwork, prompt=prompt, data=data)
    assert (proof.prompt_fits, proof.key_fits) == fits
    assert (proof.verdict, proof.codes_equal, proof.latent_equal, proof.redecoded) == ("different", False, False, True)
    assert artwork.work is not None
    known = pixels_of(files.read(Area.WORKS, artwork.work.sha256))
    made = pixels_of(files.read(Area.ARTWORKS, key_of(proof.pk, Part.MADE)))
    assert not is_identical(known, made)
    assert proof.psnr_db == pytest.approx(psnr(made, known))
    assert proof.ssim == pytest.approx(ssim(made, known))
    one, other = HASHERS["pdq-v1"].hash([made, known])
    assert proof.hash_distance == hamming(one.code, other.code) > 0
    assert proof.equal_share == pytest.approx((known == made).all(2).mean())
    page = cast.client("owner").get(address(proof)).content.decode()
    assert "<h1>Different</h1>" in page
    assert f"{proof.hash_distance} of 256 bits" in page
    assert "not the two that the registered one was made from" in page
    for which, right in zip(("prompt", "file"), fits, strict=True):
        assert f"The {which} is {'' if right else 'not '}the one that the recipe commits to." in page
    for part in ("made", "difference"):
        picture = cast.client("owner").get(address(proof, "proof-picture", part))
        with Image.open(io.BytesIO(picture.content)) as opened:
            assert opened.size == (known.shape[1], known.shape[0])


def test_another_file_of_the_same_pixels_proves_it_too(cast: Cast, registered: Request, prove: Prove) -> None:
    pixels = np.random.Generator(np.random.Philox(key=5)).integers(0, 256, (24, 24, 3), np.uint8)
    png, bmp = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    Image.fromarray(pixels).save(bmp, "BMP")
    proof = prove(registered(signature=signature(png.getvalue())), data=bmp.getvalue())
    assert (proof.verdict, proof.key_fits, proof.file_fits) == ("identical", True, False)
    page = cast.client("owner").get(address(proof)).content.decode()
    assert "its pixels are the same, and they are the key" in page


def test_a_fast_draft_is_never_called_identical(cast: Cast, registered: Request, prove: Prove) -> None:
    proof = prove(registered(wish=wish(Mode.FAST)))
    assert proof.verdict in ("near", "different")
    page = cast.client("owner").get(address(proof)).content.decode()
    assert "<h1>Identical</h1>" not in page
    if proof.verdict == "near":
        assert "no proof bit for bit" in page


@pytest.mark.parametrize(
    ("mode", "fits", "verdict", "says", "does_not_say"),
    [
        (Mode.CANONICAL, (True, True, True), "near", "A canonical work", "fast draft"),
        (Mode.FAST, (True, True, True), "near", "A fast draft", "canonical"),
        (Mode.CANONICAL, (True, False, True), "different", "decoded otherwise", "not the two"),
        (Mode.CANONICAL, (True, False, False), "different", "not the two", "decoded otherwise"),
        (Mode.CANONICAL, (True, True, True), "different", "models of this site differ", "not the two"),
    ],
)
def test_the_page_says_no_more_than_a_proof_shows(
    mode: Mode, fits: tuple[bool, bool, bool], verdict: str, says: str, does_not_say: str
) -> None:
    prompt, key, file = fits
    proof = Proof(artwork=Artwork(mode=str(mode)), prompt_fits=prompt, key_fits=key, file_fits=file, verdict=verdict)
    said = explanation_of(proof)
    assert says in said
    assert does_not_say not in said


def test_a_changed_record_fails_level_one(cast: Cast, registered: Request, prove: Prove) -> None:
    from provenance.artwork.record import Record

    artwork = registered()
    key = key_of(artwork.pk, Part.RECORD)
    record = Record.from_json(files.read(Area.ARTWORKS, key))
    record.codes[0, 0, 0] = (record.codes[0, 0, 0] + 1) % 1024
    files.write(Area.ARTWORKS, key, record.to_json())
    proof = prove(artwork)
    assert (proof.redecoded, proof.verdict, proof.codes_equal) == (False, "identical", False)
    assert "does not hold" in cast.client("owner").get(address(proof)).content.decode()


def test_level_one_is_shown_while_level_two_runs(cast: Cast, registered: Request, settings: Any) -> None:
    artwork = registered()
    proof = proof_create(artwork=artwork, prompt=PROMPT, signature=signature(), prover=cast.owner)
    settings.ARTWORK_SLICE_SECONDS = settings.ARTWORK_CHECKPOINT_SECONDS = 0
    execute(str(proof.job_id))
    assert Job.objects.get(pk=proof.job_id).state == JobState.QUEUED
    page = cast.client("owner").get(address(proof)).content.decode()
    assert "Level 1" in page
    assert "Level 2" not in page
    assert cast.client("owner").get(address(proof, "proof-preview"))["Content-Type"] == "image/jpeg"
    settings.ARTWORK_SLICE_SECONDS = 100
    assert finish(proof.job).state == JobState.SUCCEEDED
    proof.refresh_from_db()
    assert proof.verdict == "identical"


def test_a_work_deleted_meanwhile_ends_the_proof(cast: Cast, registered: Request) -> None:
    artwork = registered()
    proof = proof_create(artwork=artwork, prompt=PROMPT, signature=signature(), prover=cast.owner)
    artwork_delete(artwork=artwork, actor=cast.owner)
    job = finish(proof.job)
    assert (job.state, job.error_code) == (JobState.FAILED, "gone")
    with pytest.raises(ProductError):
        proof_create(
            artwork=Artwork.objects.get(pk=artwork.pk), prompt=PROMPT, signature=signature(), prover=cast.owner
        )


def test_other_models_are_named(cast: Cast, registered: Request) -> None:
    artwork = registered()
    record_key = key_of(artwork.pk, Part.RECORD)
    known = files.read(Area.ARTWORKS, record_key)
    digest = known.decode().split('"generator":["small-vqgan","')[1][:64]
    files.write(Area.ARTWORKS, record_key, known.replace(digest.encode(), b"0" * 64))
    proof = proof_create(artwork=artwork, prompt=PROMPT, signature=signature(), prover=cast.owner)
    job = finish(proof.job)
    assert (job.state, job.error_code) == (JobState.FAILED, "generator_unavailable")
    assert "small-vqgan" in job.error_message
    assert "could not be done" in cast.client("owner").get(address(proof)).content.decode()


def test_a_second_run_changes_nothing(registered: Request, prove: Prove) -> None:
    proof = prove(registered())
    Job.objects.filter(pk=proof.job_id).update(state=JobState.QUEUED, finished_at=None)
    execute(str(proof.job_id))
    assert Job.objects.get(pk=proof.job_id).state == JobState.SUCCEEDED


def test_proofs_count_against_the_same_limit(cast: Cast, registered: Request, settings: Any) -> None:
    settings.ARTWORKS_PER_HOUR = 1
    artwork = registered()
    refused = cast.client("owner").post(
        reverse("artworks:prove", args=[artwork.pk]), {"prompt": PROMPT, "signature": upload()}
    )
    assert refused.status_code == 429
    assert "Try again in" in refused.content.decode()
    with pytest.raises(ProductError) as caught:
        proof_create(artwork=artwork, prompt=" ", signature=signature(), prover=cast.owner)
    assert caught.value.code == ErrorCode.INVALID


def test_the_proof_form_keeps_what_was_typed(cast: Cast, registered: Request) -> None:
    artwork = registered()
    page = reverse("artworks:prove", args=[artwork.pk])
    response = cast.client("owner").post(page, {"prompt": "", "signature": upload()})
    assert response.status_code == 400
    assert 'name="signature_kept"' in response.content.decode()
    response = cast.client("owner").post(page, {"prompt": "only words"})
    assert "only words</textarea>" in response.content.decode()


def test_histograms_are_of_both_pictures() -> None:
    black = np.zeros((16, 16, 3), np.uint8)
    white = np.full((16, 16, 3), 255, np.uint8)
    assert {chart.name for chart in charts_of(black, white)} == {"grey", "red", "green", "blue"}
    assert [chart.overlap for chart in charts_of(black, black)] == [1.0] * 4
    assert [chart.overlap for chart in charts_of(black, white)] == [0.0] * 4
    (grey, *_channels) = charts_of(black, white)
    assert grey.registered.startswith("M0 100 L0.5 0.0 L1.5 100.0")
    assert grey.made.endswith("255.5 0.0")


@pytest.mark.parametrize(
    ("share", "words"), [(0, "0"), (1, "100"), (0.5, "50"), (0.99999999, "more than 99.99"), (1e-9, "less than 0.01")]
)
def test_only_all_is_a_hundred_per_cent(share: float, words: str) -> None:
    assert percent_of(share) == words
