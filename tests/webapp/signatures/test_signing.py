"""Having works signed: numbers, copies, keys, refusals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.conf import settings as site
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from provenance.images.quality import psnr
from provenance.watermark.payload import NUMBER_BITS, Payload
from tests.webapp.artworks.test_secrets import _left
from tests.webapp.checks.conftest import Register, png, sample
from tests.webapp.conftest import Cast, make_person
from tests.webapp.signatures.conftest import Signed, pixels, plain
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.accounts.services import organisation_create
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job
from webapp.jobs.runner import execute
from webapp.registry.models import Work
from webapp.registry.services import works_delete
from webapp.signatures import services, signing
from webapp.signatures.keys import _keys, false_acceptance, payload_of, vouches
from webapp.signatures.models import SignatureCode
from webapp.signatures.selectors import look
from webapp.signatures.services import code_restore, code_revoke, generator_create, number_give, signing_begin

pytestmark = pytest.mark.django_db


def test_it_works(cast: Cast, signed: Callable[..., Signed]) -> None:
    made = signed()
    original = files.read(Area.WORKS, made.work.sha256)
    assert original == sample("chelsea"), "the original is never altered"
    copy = pixels(made.data)
    assert copy.shape == pixels(original).shape
    assert psnr(copy, pixels(original)) > 38
    pointer = look(copy).pointer
    assert pointer is not None
    assert pointer.code == made.code
    entry = AuditEntry.objects.get(verb="signature.given")
    assert (entry.actor_id, entry.data["number"]) == (cast.owner.pk, made.code.number)
    # Nothing is done twice, and a copy that was swept away is made again, the same.
    jobs = Job.objects.count()
    assert signing_begin(work=made.work, actor=cast.owner).pk == made.code.pk
    assert Job.objects.count() == jobs
    files.delete(Area.SIGNATURES, signing.signed_key(made.code))
    again = signing_begin(work=made.work, actor=cast.owner)
    assert again.number == made.code.number
    execute(str(again.job_id))
    assert files.read(Area.SIGNATURES, signing.signed_key(made.code)) == made.data


def test_a_copy_has_pixels_only(cast: Cast, register: Register) -> None:
    import io

    from PIL import Image

    data = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.open(io.BytesIO(sample("chelsea"))).save(data, "JPEG", exif=exif)
    work = register("chelsea", data=data.getvalue())
    code = signing_begin(work=work, actor=cast.owner)
    execute(str(code.job_id))
    copy = files.read(Area.SIGNATURES, signing.signed_key(code))
    assert b"taken at home" in files.read(Area.WORKS, work.sha256)
    assert b"taken at home" not in copy
    assert Image.open(io.BytesIO(copy)).info == {}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(png(pixels(sample("chelsea"))[:63, :200]), "200 × 63", id="small"),
        pytest.param(png(pixels(sample("chelsea"))[:70, :430]), "430 × 70", id="narrow"),
        pytest.param(plain(), "too simple", id="plain"),
    ],
)
def test_what_cannot_be_signed_says_why(cast: Cast, register: Register, data: bytes, words: str) -> None:
    work = register("chelsea", data=data)
    with pytest.raises(ProductError) as refused:
        signing_begin(work=work, actor=cast.owner)
    assert (refused.value.code, refused.value.status) == (ErrorCode.CANNOT_BE_SIGNED, 422)
    assert words in str(refused.value.message)
    assert not SignatureCode.objects.exists()
    page = cast.client("owner").get(f"/works/{work.pk}/signature/").content.decode()
    assert words in page
    assert "Make a signed copy" not in page


def test_numbers_are_never_given_twice(cast: Cast, generator: SignatureCode, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([generator.number, generator.number, 77])
    monkeypatch.setattr(services.secrets, "randbelow", lambda below: next(drawn))
    other = generator_create(organisation=cast.elsewhere, name="Another", actor=cast.outsider)
    assert other.number == 77
    monkeypatch.setattr(services.secrets, "randbelow", lambda below: 77)
    monkeypatch.setattr(services, "_TRIES", 3)
    with pytest.raises(ProductError) as full:
        generator_create(organisation=cast.elsewhere, name="No room", actor=cast.outsider)
    assert full.value.code == ErrorCode.QUOTA_EXCEEDED


@pytest.mark.django_db(transaction=True)
def test_many_at_once_get_different_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = make_person("owner@archive.example")
    organisation = organisation_create(name="The Archive", founder=owner)
    state = np.random.default_rng(1)
    # Eight numbers for eight codes: everybody meets somebody else's.
    monkeypatch.setattr(services.secrets, "randbelow", lambda below: int(state.integers(8)))

    def give(place: int) -> None:
        try:
            number_give(SignatureCode(kind="generator", organisation=organisation, name=str(place), subject="0" * 64))
        finally:
            connection.close()

    threads = [threading.Thread(target=give, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(SignatureCode.objects.values_list("number", flat=True)) == list(range(8))


def test_the_key_may_be_changed_and_the_old_one_dropped(settings: Any, generator: SignatureCode) -> None:
    before = payload_of(generator)
    chance = false_acceptance()
    settings.SIGNING_KEY = "a secret of its own for signatures, long"
    after = payload_of(generator)
    assert before != after
    assert vouches(generator, before), "what SECRET_KEY vouched for is still read"
    assert vouches(generator, after)
    assert false_acceptance() == 2 * chance
    settings.SIGNING_KEY_FALLBACKS = [settings.SIGNING_KEY]
    settings.SIGNING_KEY = "another secret for signatures, long too"
    assert vouches(generator, after)
    settings.SIGNING_KEY_FALLBACKS = []
    assert not vouches(generator, after)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert vouches(generator, before)
    settings.SECRET_KEY_FALLBACKS = []
    assert not vouches(generator, before)


def test_nobody_can_make_one_up(generator: SignatureCode) -> None:
    good = payload_of(generator)
    assert not vouches(generator, Payload(good.number, bytes(5)))
    assert not vouches(generator, Payload((good.number + 1) % (1 << NUMBER_BITS), good.tag))
    other = generator_create(organisation=generator.organisation, name="Other", actor=None)
    assert not vouches(other, Payload(other.number, good.tag))


def test_the_key_is_stored_and_logged_nowhere(
    signed: Callable[..., Signed], check_now: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = signed()
    check_now(made.data)
    (key,) = _keys()
    tag = payload_of(made.code).tag
    places = [*_left(), caplog.text]
    assert len(places) > 50
    secret = site.SECRET_KEY
    for spelling in (key.hex(), key.decode("latin-1"), secret, secret.encode().hex(), tag.hex()):
        assert not [place[:200] for place in places if spelling in place], "a secret is written down"


def test_revoking_and_undoing(cast: Cast, signed: Callable[..., Signed], settings: Any) -> None:
    made = signed()
    code_revoke(code=made.code, actor=cast.owner)
    code = code_revoke(code=made.code, actor=cast.owner)
    assert AuditEntry.objects.filter(verb="signature.revoked").count() == 1
    code_restore(code=code, actor=cast.owner)
    with pytest.raises(ProductError, match="not revoked"):
        code_restore(code=code, actor=cast.owner)
    code_revoke(code=code, actor=cast.owner)
    another = signing_begin(work=made.work, actor=cast.owner)
    assert another.number != code.number
    with pytest.raises(ProductError, match="another signature"):
        code_restore(code=code, actor=cast.owner)
    code_revoke(code=another, actor=cast.owner)
    settings.UNDO_HOURS = 0
    with pytest.raises(ProductError) as late:
        code_restore(code=another, actor=cast.owner)
    assert late.value.status == 410


def test_a_deleted_work_is_not_signed(cast: Cast, register: Register) -> None:
    work = register("chelsea")
    code = signing_begin(work=work, actor=cast.owner)
    works_delete(works=Work.objects.filter(pk=work.pk), organisation=cast.organisation, label="x", actor=cast.owner)
    execute(str(code.job_id))
    code.job.refresh_from_db()  # type: ignore[union-attr]
    assert (code.job.state, code.job.error_code) == ("failed", "gone")  # type: ignore[union-attr]
    with pytest.raises(ProductError) as refused:
        signing_begin(work=work, actor=cast.owner)
    assert refused.value.status == 404


def test_a_signing_that_was_killed_is_done_again(cast: Cast, register: Register, settings: Any) -> None:
    from datetime import timedelta

    from webapp.jobs.services import job_claim, jobs_recover

    code = signing_begin(work=register("chelsea"), actor=cast.owner)
    lost = job_claim(job_id=code.job_id)  # type: ignore[arg-type]
    assert lost is not None
    Job.objects.filter(pk=lost.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert jobs_recover() == 1
    execute(str(code.job_id))
    assert Job.objects.get(pk=code.job_id).state == "succeeded"
    assert signing.has_copy(code)


def test_old_copies_are_swept_away(signed: Callable[..., Signed]) -> None:
    import os

    made = signed()
    assert signing.sweep() == 0
    path = files.path_of(Area.SIGNATURES, signing.signed_key(made.code))
    os.utime(path, (0, 0))
    assert signing.sweep() == 1
    assert not path.exists()


@pytest.mark.parametrize("name", ["SIGNING_KEY", "SIGNING_KEY_FALLBACKS"])
def test_a_short_key_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    import runpy

    monkeypatch.setenv(name, "hidden and too short")
    with pytest.raises(ImproperlyConfigured, match="32 characters") as refused:
        runpy.run_module("webapp.settings")
    assert "hidden" not in str(refused.value)
