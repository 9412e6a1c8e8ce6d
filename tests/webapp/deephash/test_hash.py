"""A catalogue chooses a deep hash; its pictures get codes, and are found by them."""

from __future__ import annotations

import io
import threading
import time
import uuid
import weakref
from datetime import timedelta

import numpy as np
import pytest
from django.db import IntegrityError, connection
from django.urls import reverse
from django.utils import timezone
from pgvector import HalfVector
from PIL import Image

from provenance.hashing.deephash import DEEP_HASHES, EDIT_HASH
from provenance.matching.policy import MOST_VERIFIED
from tests.webapp.catalogues.conftest import import_files
from tests.webapp.checks.conftest import upload
from tests.webapp.conftest import Cast
from tests.webapp.deephash.conftest import finish, trained
from tests.webapp.pages.test_public import Page
from tests.webapp.pictures import flat_png, pixels_of, png
from webapp import files
from webapp.catalogues.models import Catalogue
from webapp.catalogues.services import catalogue_create
from webapp.checks.context import Near, Suspect
from webapp.checks.models import Check, EvidenceKind, Verdict
from webapp.checks.services import check_submit
from webapp.deephash import hashes, services, showing
from webapp.deephash.models import CatalogueHash, DeepCode
from webapp.deephash.search import bits_of, works_nearest
from webapp.deephash.storage import Part, path_of
from webapp.errors import ProductError
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import job_cancel, jobs_recover
from webapp.registry.models import Visibility, Work

pytestmark = pytest.mark.django_db


def choose(cast: Cast, catalogue: Catalogue, algorithm: str = EDIT_HASH.algorithm) -> CatalogueHash:
    services.hash_choose(catalogue=catalogue, algorithm=algorithm, actor=cast.owner)
    choice = CatalogueHash.objects.get(catalogue=catalogue)
    assert choice.job is not None
    finish(choice.job)
    return choice


def run_check(cast: Cast, data: bytes) -> Check:
    (check,) = check_submit(files=[upload(data)], owner=cast.owner)
    execute(str(check.job_id))
    return Check.objects.get(pk=check.pk)


def picture(pixels: np.ndarray) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    buffer.seek(0)
    buffer.name = "asked.png"
    return buffer


def test_it_works(cast: Cast, pictures: Catalogue) -> None:
    client = cast.client("owner")
    address = reverse("deephash:page", args=[pictures.pk])
    assert Page(client.get(address).content.decode()).inline == []
    response = client.post(reverse("deephash:choose", args=[pictures.pk]), {"algorithm": "con-vae-64-v1"})
    assert response["Location"] == address
    choice = CatalogueHash.objects.get()
    assert choice.job is not None
    assert "Giving the pictures their codes" in client.get(address).content.decode()
    assert finish(choice.job).state == JobState.SUCCEEDED
    assert DeepCode.objects.filter(algorithm="con-vae-64-v1").count() == 3
    page = client.post(address, {"picture": picture(pixels_of(2))}).content.decode()
    assert Page(page).inline == []
    assert "Near enough to be a candidate" in page
    assert "none: they are the same" in page
    assert "Reconstruction from 64 numbers" in page
    assert page.index(">2</span>") < page.index(">1</span>"), "the same picture comes first"


def test_a_look_up_opens_no_registered_file_and_sets_no_limit_on_the_server(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(cast, pictures)
    for work in Work.objects.all():
        files.delete(Area.WORKS, work.sha256)

    def refused(*_limits: object) -> None:
        raise AssertionError("the limit would hold for every request of this process")

    monkeypatch.setattr("resource.setrlimit", refused)
    page = cast.client("owner").post(reverse("deephash:page", args=[pictures.pk]), {"picture": picture(pixels_of(2))})
    assert page.content.decode().count('data-label="PSNR"') == 3
    assert page.content.decode().count(" dB</td>") == 2
    assert "none: they are the same" in page.content.decode()


def test_a_registered_copy_that_cannot_be_reached_is_not_blamed_on_the_model(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(cast, pictures)

    def unreachable(*_asked: object) -> bytes:
        raise PermissionError

    monkeypatch.setattr(showing, "rendition_read", unreachable)
    with pytest.raises(PermissionError):
        showing.show(catalogue=pictures, pixels=pixels_of(4))


def test_the_table_holds_what_the_hash_gives(cast: Cast, pictures: Catalogue) -> None:
    choose(cast, pictures, "con-vae-128-v1")
    for seed in (1, 2, 3):
        codes, features = DEEP_HASHES["con-vae-128-v1"].encode([pixels_of(seed)])
        row = DeepCode.objects.get(work__title=str(seed))
        assert str(row.code128) == bits_of(codes[0])
        assert np.allclose(row.feature, features[0], atol=1e-2)


def test_equal_codes_are_ordered_by_feature_vector(cast: Cast, pictures: Catalogue) -> None:
    choose(cast, pictures)
    codes, features = EDIT_HASH.encode([pixels_of(3)])
    DeepCode.objects.update(code64=bits_of(codes[0]))
    found = works_nearest(algorithm=EDIT_HASH.algorithm, code=codes[0], feature=features[0], limit=5)
    for most in (1, 3):
        fewer = works_nearest(algorithm=EDIT_HASH.algorithm, code=codes[0], feature=features[0], limit=most)
        assert fewer == found[:most]
    assert [each.distance for each in found] == [0, 0, 0]
    assert Work.objects.get(pk=found[0].work_id).title == "3"
    assert found[0].dissimilarity < found[1].dissimilarity < found[2].dissimilarity


def test_the_nearest_are_those_of_a_search_through_all(cast: Cast, pictures: Catalogue) -> None:
    import_files(pictures, {f"{seed}.png": png(seed) for seed in range(4, 13)})
    choose(cast, pictures)
    random = np.random.default_rng(0)
    for row in DeepCode.objects.order_by("pk"):
        # Few codes and few vectors, so that both tie.
        row.code64, row.feature = f"{random.integers(4):064b}", HalfVector([float(random.integers(3))])
        row.save()
    code, feature = np.zeros(8, np.uint8), np.zeros(1, np.float32)
    everything = sorted(
        (str(row.code64).count("1"), row.feature[0] ** 2, row.work_id) for row in DeepCode.objects.all()
    )
    for limit in range(1, 14):
        for radius in (None, 0, 1):
            found = works_nearest(
                algorithm=EDIT_HASH.algorithm, code=code, feature=feature, limit=limit, radius=radius
            )
            expected = [one for one in everything if radius is None or one[0] <= radius][:limit]
            assert [(one.distance, one.dissimilarity, one.work_id) for one in found] == expected


def test_a_check_asks_the_catalogues_own_hash(cast: Cast, pictures: Catalogue) -> None:
    plain = run_check(cast, png(2))
    assert not plain.evidence.filter(version=EDIT_HASH.algorithm).exists()
    choose(cast, pictures)
    mirrored = io.BytesIO()
    Image.fromarray(pixels_of(2)[:, ::-1]).save(mirrored, "PNG")
    check = run_check(cast, mirrored.getvalue())
    evidence = check.evidence.get(version=EDIT_HASH.algorithm)
    assert evidence.data["listed"][0]["work"] == str(Work.objects.get(title="2").pk)
    assert evidence.data["best_distance"] <= 1
    assert check.verdict == Verdict.REGISTERED
    page = cast.client("owner").get(reverse("checks:detail", args=[check.pk])).content.decode()
    assert "Look-alikes (edit-hash-64-v1)" in page


def test_what_only_the_deep_hash_finds_is_verified(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.checks.candidates.rank", lambda near: [])
    assert run_check(cast, _saved_again(2)).verdict == Verdict.NOT_FOUND
    choose(cast, pictures)
    assert run_check(cast, _saved_again(2)).verdict == Verdict.REGISTERED


@pytest.mark.parametrize(("distance", "verdict"), [(80, Verdict.REGISTERED), (0, Verdict.CANNOT_TELL)])
def test_what_it_finds_is_verified_in_its_turn_or_counted_as_cut_off(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch, distance: int, verdict: Verdict
) -> None:
    choose(cast, pictures)
    strangers = [Suspect(uuid.UUID(int=n), {"pdq-v1": Near(distance, 0)}, distance < 32) for n in range(MOST_VERIFIED)]
    monkeypatch.setattr("webapp.checks.candidates.rank", lambda near: strangers)
    check = run_check(cast, _saved_again(2))
    assert check.verdict == verdict
    evidence = check.evidence.get(version=EDIT_HASH.algorithm)
    assert evidence.data["near"] == 1
    assert evidence.data["near_unverified"] == (verdict == Verdict.CANNOT_TELL)
    pair = check.evidence.filter(kind=EvidenceKind.PAIR).first()
    if verdict == Verdict.REGISTERED:
        assert pair is not None
        assert pair.data["near"]
        assert pair.data["distances"] == {EDIT_HASH.algorithm: {"distance": 0, "variant": "as it is"}}
        page = cast.client("owner").get(reverse("checks:detail", args=[check.pk])).content.decode()
        assert "of 1 (as it is)" not in page, "distances of hashes are bits"


def test_a_damaged_model_takes_its_hash_from_checks_and_nothing_else(cast: Cast, pictures: Catalogue) -> None:
    model = trained(pictures)
    choose(cast, pictures, model.algorithm)
    path = path_of(model.pk, Part.WEIGHTS)
    path.write_bytes(path.read_bytes()[:-100])
    hashes._loaded.cache_clear()
    check = run_check(cast, _saved_again(2))
    assert check.verdict == Verdict.REGISTERED
    assert not check.evidence.filter(version=model.algorithm).exists()
    page = cast.client("owner").post(reverse("deephash:page", args=[pictures.pk]), {"picture": picture(pixels_of(2))})
    assert page.status_code == 503


def _saved_again(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(seed)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def test_later_pictures_get_their_codes_and_deleted_ones_are_not_found(cast: Cast, pictures: Catalogue) -> None:
    choice = choose(cast, pictures)
    assert services.hashing_begin_owed() == 0
    import_files(pictures, {"4.png": png(4)})
    assert services.hashing_begin_owed() == 1
    assert services.hashing_begin_owed() == 0, "one job at a time"
    choice.refresh_from_db()
    assert choice.job is not None
    finish(choice.job)
    assert DeepCode.objects.count() == 4
    codes, features = EDIT_HASH.encode([pixels_of(4)])
    Work.objects.filter(title="4").update(deleted_at="2026-01-01T00:00Z")
    found = works_nearest(algorithm=EDIT_HASH.algorithm, code=codes[0], feature=features[0], limit=5)
    assert len(found) == 3


def test_no_two_decoded_pictures_are_held_at_once(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[weakref.ref[np.ndarray]] = []
    real = services.pixels_of

    def watched(work: Work) -> np.ndarray | None:
        # The one before may be held until the next is there.
        assert sum(each() is not None for each in decoded) <= 1
        pixels = real(work)
        if pixels is not None:
            decoded.append(weakref.ref(pixels))
        return pixels

    monkeypatch.setattr(services, "pixels_of", watched)
    choose(cast, pictures)
    assert len(decoded) == DeepCode.objects.count() == 3


def test_a_killed_giving_of_codes_goes_on_where_it_was(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "BATCH", 1)
    services.hash_choose(catalogue=pictures, algorithm=EDIT_HASH.algorithm, actor=cast.owner)
    job = CatalogueHash.objects.get().job
    assert job is not None
    opened: list[uuid.UUID] = []
    real = services.pixels_of

    def killed(work: Work) -> np.ndarray | None:
        opened.append(work.pk)
        if len(opened) == 2:
            raise SystemExit
        return real(work)

    monkeypatch.setattr(services, "pixels_of", killed)
    with pytest.raises(SystemExit):
        execute(str(job.pk))
    assert DeepCode.objects.count() == 1
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert jobs_recover() == 1
    assert finish(job).state == JobState.SUCCEEDED
    assert DeepCode.objects.count() == 3
    assert opened[1] == opened[2], "the picture in hand is opened again"
    assert len(opened) == 4


def test_a_file_that_is_lost_does_not_stop_the_others(cast: Cast, pictures: Catalogue) -> None:
    lost = Work.objects.get(title="1")
    files.delete(Area.WORKS, lost.sha256)
    choice = choose(cast, pictures)
    choice.refresh_from_db()
    assert choice.unreadable == [str(lost.pk)]
    assert DeepCode.objects.count() == 2
    assert services.hashing_begin_owed() == 0


def test_plain_pictures_get_no_code_and_are_not_asked_about(cast: Cast, pictures: Catalogue) -> None:
    import_files(pictures, {"flat.png": flat_png()})
    choice = choose(cast, pictures)
    choice.refresh_from_db()
    assert choice.plain == [str(Work.objects.get(title="flat").pk)]
    assert DeepCode.objects.count() == 3
    assert services.hashing_begin_owed() == 0
    client, address = cast.client("owner"), reverse("deephash:page", args=[pictures.pk])
    assert "1 picture is too simple for one" in client.get(address).content.decode()
    asked = io.BytesIO(flat_png())
    asked.name = "flat.png"
    response = client.post(address, {"picture": asked})
    assert response.status_code == 400
    assert "too simple for a hash" in response.content.decode()
    assert not run_check(cast, flat_png()).evidence.filter(version=EDIT_HASH.algorithm).exists()


def test_what_was_cancelled_says_so_and_waits_until_it_is_let_go_on(cast: Cast, pictures: Catalogue) -> None:
    services.hash_choose(catalogue=pictures, algorithm=EDIT_HASH.algorithm, actor=cast.owner)
    choice = CatalogueHash.objects.get()
    assert choice.job is not None
    job_cancel(job=choice.job)
    Job.objects.filter(pk=choice.job.pk).update(updated_at=timezone.now() - 2 * services.AGAIN_AFTER)
    assert services.hashing_begin_owed() == 0
    client, address = cast.client("owner"), reverse("deephash:page", args=[pictures.pk])
    page = client.get(address).content.decode()
    assert "Giving the pictures their codes was cancelled" in page
    assert "Go on" in page
    assert "Go on" not in cast.client("viewer").get(address).content.decode()
    client.post(reverse("deephash:choose", args=[pictures.pk]), {"algorithm": EDIT_HASH.algorithm})
    choice.refresh_from_db()
    assert choice.job is not None
    assert finish(choice.job).state == JobState.SUCCEEDED
    assert DeepCode.objects.count() == 3
    assert "was cancelled" not in client.get(address).content.decode()


def test_what_failed_says_so_and_is_tried_again_within_an_hour(cast: Cast, pictures: Catalogue) -> None:
    model = trained(pictures)
    path_of(model.pk, Part.WEIGHTS).unlink()
    hashes._loaded.cache_clear()
    choice = choose(cast, pictures, model.algorithm)
    page = cast.client("owner").get(reverse("deephash:page", args=[pictures.pk])).content.decode()
    assert "is not here or damaged" in page
    assert "tried again within an hour" in page
    assert services.hashing_begin_owed() == 0
    Job.objects.filter(pk=choice.job_id).update(updated_at=timezone.now() - 2 * services.AGAIN_AFTER)
    assert services.hashing_begin_owed() == 1


def test_another_choice_takes_the_codes_of_the_one_before_away(cast: Cast, pictures: Catalogue) -> None:
    choose(cast, pictures)
    choose(cast, pictures, "con-vae-64-v1")
    assert set(DeepCode.objects.values_list("algorithm", flat=True)) == {"con-vae-64-v1"}
    services.hash_choose(catalogue=pictures, algorithm="", actor=cast.owner)
    assert not DeepCode.objects.exists()
    assert not CatalogueHash.objects.exists()
    with pytest.raises(ProductError, match="no such hash"):
        services.hash_choose(catalogue=pictures, algorithm="md5", actor=cast.owner)


def test_codes_of_a_hash_that_is_not_used_any_more_are_not_kept(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.hash_choose(catalogue=pictures, algorithm=EDIT_HASH.algorithm, actor=cast.owner)
    job = CatalogueHash.objects.get().job
    assert job is not None
    real = services.pixels_of

    def meanwhile(work: Work) -> np.ndarray | None:
        services.hash_choose(catalogue=pictures, algorithm="", actor=cast.owner)
        return real(work)

    monkeypatch.setattr(services, "pixels_of", meanwhile)
    assert finish(job).state == JobState.SUCCEEDED
    assert not DeepCode.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_first_choices_at_once_one_comes_after_the_other(
    cast: Cast, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def slowly(_choice: CatalogueHash) -> bool:
        begun.set()
        time.sleep(0.3)
        return True

    monkeypatch.setattr(services, "_begin_hashing", slowly)
    refusals: list[Exception] = []

    def choose_one(algorithm: str) -> None:
        try:
            services.hash_choose(catalogue=catalogue, algorithm=algorithm, actor=cast.owner)
        except IntegrityError as error:
            refusals.append(error)
        connection.close()

    first, second = (threading.Thread(target=choose_one, args=(name,)) for name in ("con-vae-64-v1", "con-vae-128-v1"))
    first.start()
    assert begun.wait(30)
    second.start()
    first.join(30)
    second.join(30)
    assert refusals == []
    assert CatalogueHash.objects.get().algorithm == "con-vae-128-v1"


def test_another_organisation_s_trained_hash_cannot_be_chosen(cast: Cast, pictures: Catalogue) -> None:
    model = trained(pictures)
    theirs = catalogue_create(
        organisation=cast.elsewhere, name="Theirs", visibility=Visibility.PUBLIC, actor=cast.outsider
    )
    client = cast.client("outsider")
    address = reverse("deephash:choose", args=[theirs.pk])
    assert client.post(address, {"algorithm": model.algorithm}).status_code == 400
    assert not CatalogueHash.objects.exists()
    assert model.algorithm not in client.get(reverse("deephash:page", args=[theirs.pk])).content.decode()


def test_bad_input_is_told(cast: Cast, pictures: Catalogue) -> None:
    client = cast.client("owner")
    address = reverse("deephash:page", args=[pictures.pk])
    assert client.post(address, {"picture": picture(pixels_of(1))}).status_code == 409
    choose(cast, pictures)
    assert client.post(address).status_code == 400
    broken = io.BytesIO(b"no picture")
    broken.name = "x.png"
    response = client.post(address, {"picture": broken})
    assert response.status_code == 415
    assert "alert bad" in response.content.decode()


@pytest.mark.parametrize(
    ("who", "sees", "changes"),
    [
        ("owner", 200, 302),
        ("colleague", 200, 302),
        ("viewer", 200, 403),
        ("outsider", 404, 404),
        ("anonymous", 302, 302),
    ],
)
def test_who_may(cast: Cast, pictures: Catalogue, who: str, sees: int, changes: int) -> None:
    client = cast.client(who)
    assert client.get(reverse("deephash:page", args=[pictures.pk])).status_code == sees
    choice = client.post(reverse("deephash:choose", args=[pictures.pk]), {"algorithm": EDIT_HASH.algorithm})
    assert choice.status_code == changes
    assert CatalogueHash.objects.exists() == (who in ("owner", "colleague"))
    if changes != 302:
        assert client.post(reverse("deephash:train", args=[pictures.pk]), {}).status_code == changes


@pytest.mark.parametrize(("who", "status"), [("viewer", 200), ("outsider", 404), ("anonymous", 302)])
def test_who_may_look_up(cast: Cast, pictures: Catalogue, who: str, status: int) -> None:
    choose(cast, pictures)
    response = cast.client(who).post(reverse("deephash:page", args=[pictures.pk]), {"picture": picture(pixels_of(2))})
    assert response.status_code == status
    assert ("none: they are the same" in response.content.decode()) == (who == "viewer")
