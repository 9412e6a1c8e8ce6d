"""Artworks of a few iterations, generated in this process by networks whose weights are made up."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from django.core.files.uploadedfile import SimpleUploadedFile

from provenance.artwork import recipe
from provenance.artwork.recipe import DEFAULT_EXCLUSIONS, Mode, Preset
from provenance.artwork.signature import Signature, read_signature
from tests.webapp.conftest import Cast
from webapp.artworks import trials
from webapp.artworks.library import Wish
from webapp.artworks.models import Artwork, Proof
from webapp.artworks.proofs import proof_create
from webapp.artworks.services import artwork_create
from webapp.jobs.models import Job
from webapp.jobs.runner import execute
from webapp.registry.models import Visibility

TINY = Preset(side=32, iterations=4, crops=1)
PROMPT = "the red forest with a blue lake at sunset"
CHEAP = 2**4
FILE = b"My signature: a text that nobody else has, 4711."


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """No work here is large enough for two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every preset tiny."""
    for name in recipe.PRESETS:
        monkeypatch.setitem(recipe.PRESETS, name, TINY)
    monkeypatch.setattr(trials, "TRIAL", replace(TINY, iterations=2))


@pytest.fixture(autouse=True)
def cheap_commitments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commitments cost no time; that they cost a guesser some is tested where they are made."""
    monkeypatch.setattr("provenance.artwork.signature._SCRYPT_COST", CHEAP)


def signature(data: bytes = FILE) -> Signature:
    """Return what a signature file is reduced to."""
    return read_signature(io.BytesIO(data))


def upload(data: bytes = FILE, name: str = "signature.txt") -> SimpleUploadedFile:
    """Return a file as a form brings it."""
    return SimpleUploadedFile(name, data, content_type="application/octet-stream")


def wish(mode: Mode = Mode.CANONICAL, preset: str = "draft") -> Wish:
    """Return what a picture is to be made of beside its keys."""
    return Wish(preset, mode, DEFAULT_EXCLUSIONS)


def finish(job: Job) -> Job:
    """Do a job to its end."""
    for _slice in range(50):
        execute(str(job.pk))
        job.refresh_from_db()
        if job.is_final:
            return job
    raise AssertionError("the job does not end")


Request = Callable[..., Artwork]


@pytest.fixture
def requested(cast: Cast) -> Request:
    """Return what asks for an artwork of the cast's organisation, by its owner."""

    def run(**options: Any) -> Artwork:
        given: dict[str, Any] = {
            "organisation": cast.organisation,
            "owner": cast.owner,
            "title": "Forest",
            "prompt": PROMPT,
            "signature": signature(),
            "wish": wish(),
            "visibility": Visibility.PUBLIC,
        }
        return artwork_create(**{**given, **options})

    return run


@pytest.fixture
def registered(requested: Request) -> Request:
    """Return what has an artwork generated and registered."""

    def run(**options: Any) -> Artwork:
        artwork = requested(**options)
        job = finish(artwork.job)
        assert job.state == "succeeded", job.error_message
        return Artwork.objects.select_related("work", "job", "organisation").get(pk=artwork.pk)

    return run


@pytest.fixture
def prove(cast: Cast) -> Callable[..., Proof]:
    """Return what proves an artwork, to the end, with the right keys unless others are given."""

    def run(artwork: Artwork, *, prompt: str = PROMPT, data: bytes = FILE, **options: Any) -> Proof:
        proof = proof_create(
            artwork=artwork, prompt=prompt, signature=signature(data), **{"prover": cast.owner, **options}
        )
        job = finish(proof.job)
        assert job.state == "succeeded", job.error_message
        return Proof.objects.select_related("job", "artwork").get(pk=proof.pk)

    return run
