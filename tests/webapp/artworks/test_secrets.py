"""Neither key is left in clear anywhere: in no table, file, log line, address or message, whatever happens."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from django.conf import settings as site
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse

from provenance.artwork.signature import pixel_digest, read_signature
from provenance.artwork.words import unknown_words
from tests.webapp.artworks.conftest import finish, upload
from tests.webapp.conftest import Cast
from tests.webapp.pictures import pixels_of, png
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.artworks.models import Artwork, ArtworkSecret, Proof, Trial
from webapp.artworks.storage import Part, key_of
from webapp.artworks.vault import unseal_for_job
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import Progress

pytestmark = pytest.mark.django_db

PROMPT = "zwölf purple otters below a quartz moon, 4711"
FILE = b"A melody that nobody else hums, 0815."
PICTURE = png(7)
PIXEL = {"x": "1", "y": "2", "colour": "#000001"}


def _secrets() -> list[bytes]:
    """Return what must not be found: the keys, what they are read from, and digests by which they could be guessed."""
    signatures = [read_signature(io.BytesIO(data)) for data in (FILE, PICTURE)]
    altered = pixels_of(7)
    altered[2, 1] = (0, 0, 1)
    found = [PROMPT.encode(), b"purple otters", FILE, PICTURE[:200], pixel_digest(altered)]
    found += [digest for one in signatures for digest in (one.key, one.byte_digest)]
    for name in ("md5", "sha1", "sha256", "sha512", "blake2s", "blake2b"):
        found += [hashlib.new(name, data).digest() for data in (PROMPT.encode(), FILE, PICTURE)]
    return found


def _spellings(secret: bytes) -> Iterator[str]:
    """Yield how bytes are written in clear."""
    yield secret.decode("latin-1")
    yield secret.hex()
    for before in range(3):
        # Inside of a longer text it begins at any of three places; its first and last digits depend on neighbours.
        digits = base64.b64encode(bytes(before) + secret).decode()
        inner = digits[4 * (before > 0) : -4]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return
    yield text
    yield from (quote(text), quote_plus(text), json.dumps(text)[1:-1])


SPELLINGS = {spelling.lower() for secret in _secrets() for spelling in _spellings(secret)}


def _found_in(places: list[str]) -> list[str]:
    lowered = [place.lower() for place in places]
    return [place[:300] for place in lowered if any(spelling in place for spelling in SPELLINGS)]


def _left() -> list[str]:
    """Return every row of the database, every name and content of the files area, and every message sent, as text."""
    left = [str(message.message()) for message in mail.outbox]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            left += [row for (row,) in cursor.fetchall()]
    for path in Path(site.MEDIA_ROOT).rglob("*"):
        left.append(str(path.relative_to(site.MEDIA_ROOT)))
        if path.is_file():
            left.append(path.read_bytes().decode("latin-1"))
    return left


class Browser:
    """Somebody who fills in forms, and every address that they came by."""

    def __init__(self, client: Client) -> None:
        client.raise_request_exception = False
        self.client = client
        self.addresses: list[str] = []

    def send(self, address: str, **given: Any) -> Any:
        response = self.client.post(address, given)
        self.addresses += [address, response.get("Location", "")]
        return response


def _register(browser: Browser, cast: Cast, **changes: Any) -> Any:
    given = {
        "prompt": PROMPT,
        "signature": upload(FILE),
        "organisation": str(cast.organisation.pk),
        "title": "Night",
        "preset": "draft",
        "mode": "canonical",
        "visibility": "public",
        "unknown_accepted": " ".join(unknown_words(PROMPT)),
    }
    return browser.send(reverse("artworks:new"), **{**given, **changes})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Have all that is logged, to the least."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
def browser(cast: Cast, settings: Any) -> Browser:
    """The owner's browser, on a site that writes to its operator when something breaks."""
    settings.ADMINS = [("Operator", "operator@provenance.example")]
    return Browser(cast.client("owner"))


def _run_to_the_first_checkpoint(job: Job, settings: Any) -> None:
    settings.ARTWORK_SLICE_SECONDS = settings.ARTWORK_CHECKPOINT_SECONDS = 0
    execute(str(job.pk))
    settings.ARTWORK_SLICE_SECONDS = 100
    # It opens, and so it is sealed.
    assert unseal_for_job(files.read(Area.ARTWORKS, key_of(job.pk, Part.CHECKPOINT)), job.pk)


def test_nothing_is_left_of_what_goes_well(
    browser: Browser,
    cast: Cast,
    log: pytest.LogCaptureFixture,
    settings: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    assert _register(browser, cast).status_code == 302
    assert _register(browser, cast, keep_prompt="on").status_code == 302
    public, keeping = Artwork.objects.order_by("created_at")
    _run_to_the_first_checkpoint(public.job, settings)
    assert _found_in(_left()) == []
    with django_capture_on_commit_callbacks(execute=True):
        for artwork in (public, keeping):
            assert finish(artwork.job).state == JobState.SUCCEEDED

    prove = reverse("artworks:prove", args=[public.pk])
    for given in ({"prompt": PROMPT}, {"prompt": f"{PROMPT}!"}):
        assert browser.send(prove, **given, signature=upload(FILE)).status_code == 302
    trial = {"prompt": PROMPT, "source": "own", "picture": upload(PICTURE, "own.png"), **PIXEL}
    assert browser.send(reverse("artworks:what-changed"), **trial).status_code == 302
    jobs = [*(proof.job for proof in Proof.objects.all()), Trial.objects.get().job]
    for job in jobs:
        _run_to_the_first_checkpoint(job, settings)
    left = _left()
    assert ArtworkSecret.objects.count() == 3
    assert _found_in(left) == []
    with django_capture_on_commit_callbacks(execute=True):
        for job in jobs:
            assert finish(job).state == JobState.SUCCEEDED

    left = _left()
    assert any("Night" in place for place in left)
    assert _found_in([*left, *browser.addresses, log.text]) == []
    assert not ArtworkSecret.objects.exists()
    assert not list((Path(site.MEDIA_ROOT) / Area.ARTWORKS).rglob(f"*-{Part.CHECKPOINT}"))


def test_nothing_is_left_of_what_is_refused_or_breaks(
    browser: Browser, cast: Cast, log: pytest.LogCaptureFixture, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = _register(browser, cast, title="")
    assert refused.status_code == 400
    assert "no-store" in refused["Cache-Control"]
    # The form has the prompt to be mended, and the signature sealed.
    assert _found_in([refused.content.decode().replace(PROMPT, ""), str(refused.cookies)]) == []
    for changes in ({"title": PROMPT}, {"prompt": PROMPT * 50}, {"unknown_accepted": ""}, {"preset": "huge"}):
        assert _register(browser, cast, **changes).status_code == 400
    assert not Artwork.objects.exists()

    def break_down(*_given: Any, **_named: Any) -> Any:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("webapp.artworks.services.keys_keep", break_down)
    assert _register(browser, cast).status_code == 500
    assert mail.outbox, "the operator is told"
    # The form names the unknown words of the prompt, and they come back with it.
    unknown = unknown_words(PROMPT)
    assert unknown
    told = " ".join(message.body for message in mail.outbox)
    assert not [word for word in unknown if f" {word} " in told or f"'{word}" in told]
    monkeypatch.undo()

    # One breaks in the worker, again and again, until it is given up; one is cancelled as it runs, one as it waits.
    for title in ("Broken", "Cancelled", "Waiting"):
        settings.ARTWORK_SLICE_SECONDS = settings.ARTWORK_CHECKPOINT_SECONDS = 0
        assert _register(browser, cast, title=title).status_code == 302
    settings.ARTWORK_SLICE_SECONDS = 100
    jobs = {artwork.title: artwork.job for artwork in Artwork.objects.all()}
    monkeypatch.setattr("webapp.artworks.studio.encode_jpeg", break_down)
    assert finish(jobs["Broken"]).state == JobState.FAILED
    monkeypatch.undo()
    browser.send(reverse("jobs:cancel", args=[jobs["Waiting"].pk]))
    report = Progress.__call__

    def cancel_and_report(self: Progress, step: str, done: int = 0, total: int = 0, note: str = "") -> None:
        if done == 2:
            browser.send(reverse("jobs:cancel", args=[jobs["Cancelled"].pk]))
            self.check()
        report(self, step, done, total, note)

    monkeypatch.setattr(Progress, "__call__", cancel_and_report)
    finish(jobs["Cancelled"])
    for title in ("Cancelled", "Waiting"):
        assert Job.objects.get(pk=jobs[title].pk).state == JobState.CANCELLED

    assert "the disk is full" in log.text
    assert _found_in([*_left(), *browser.addresses, log.text]) == []
    assert not ArtworkSecret.objects.exists()


@pytest.mark.parametrize(
    "secret", [PROMPT.encode(), FILE, read_signature(io.BytesIO(PICTURE)).key], ids=["prompt", "file", "key"]
)
def test_the_search_finds_what_is_there(cast: Cast, secret: bytes) -> None:
    assert _found_in(_left()) == []
    for text in (secret.hex().upper(), base64.urlsafe_b64encode(b"ab" + secret + b"c").decode()):
        AuditEntry.objects.create(verb="made.up", data={"note": text})
    files.write(Area.CHECKS, "0" * 32, b"{" + secret + b"}")
    assert len(_found_in(_left())) == 3
