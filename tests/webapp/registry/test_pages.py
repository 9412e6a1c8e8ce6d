"""The public page of a work and the copies of its picture: who sees what, and what leaves the site."""

from __future__ import annotations

import io
import uuid

import pytest
from django.urls import reverse
from PIL import ExifTags, Image

from tests.webapp.conftest import Cast
from tests.webapp.pictures import flat_png, jpeg, pixels_of
from tests.webapp.registry.test_services import register
from webapp import files
from webapp.catalogues.models import CatalogueItem
from webapp.catalogues.services import catalogue_create
from webapp.files import Area
from webapp.registry.models import Visibility, Work
from webapp.registry.services import works_delete

pytestmark = pytest.mark.django_db

EVERYBODY = ("owner", "colleague", "viewer", "outsider", "reviewer", "anonymous")


@pytest.fixture
def work(cast: Cast) -> Work:
    """Return a public work whose file has camera data."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "secret-place"
    details = {"title": "Sea <at> night", "creator": "Ada", "licence": "CC-BY-4.0", "source_url": "https://e.org/sea"}
    return register(cast.organisation, jpeg(1, exif=exif), **details)[0]


def image(work: Work, size: str) -> str:
    return reverse("registry:work-image", args=[work.pk, size])


@pytest.mark.parametrize("who", EVERYBODY)
def test_a_public_work_is_seen_by_everybody(cast: Cast, work: Work, who: str) -> None:
    client = cast.client(who)
    page = client.get(reverse("registry:work", args=[work.pk]))
    text = page.content.decode()
    assert page.status_code == 200
    for part in ("Sea &lt;at&gt; night", "Ada", "CC-BY-4.0", "The Archive", work.sha256, "pdq-v1", "phash-v1"):
        assert part in text
    for row in work.fingerprints.all():
        assert f"{int(row.bits, 2):0{len(row.bits) // 4}x}" in text
    assert image(work, "full") in text
    assert client.get(image(work, "thumb")).status_code == 200


@pytest.mark.parametrize(
    ("who", "sees"),
    [("owner", 200), ("colleague", 200), ("viewer", 200), ("reviewer", 200), ("outsider", 404), ("anonymous", 404)],
)
def test_a_record_shows_its_picture_to_members_and_reviewers_only(cast: Cast, work: Work, who: str, sees: int) -> None:
    Work.objects.update(visibility=Visibility.RECORD_ONLY)
    client = cast.client(who)
    page = client.get(reverse("registry:work", args=[work.pk])).content.decode()
    assert ("Record only" in page) is (sees == 404)
    assert (image(work, "full") in page) is (sees == 200)
    assert work.sha256 in page
    for size in ("thumb", "full"):
        assert client.get(image(work, size)).status_code == sees


@pytest.mark.parametrize("size", ["thumb", "full"])
def test_copies_are_our_own_pictures_without_metadata(cast: Cast, work: Work, size: str) -> None:
    response = cast.client("anonymous").get(image(work, size))
    assert response["Content-Type"] == "image/jpeg"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "private" in response["Cache-Control"]
    assert b"secret-place" not in response.content
    copy = Image.open(io.BytesIO(response.content))
    assert copy.format == "JPEG"
    assert dict(copy.getexif()) == {}


def test_an_unchanged_copy_is_not_sent_again(cast: Cast, work: Work) -> None:
    client = cast.client("anonymous")
    etag = client.get(image(work, "thumb"))["ETag"]
    assert client.get(image(work, "thumb"), headers={"If-None-Match": etag}).status_code == 304
    assert client.get(image(work, "full"), headers={"If-None-Match": etag}).status_code == 200
    Work.objects.update(visibility=Visibility.RECORD_ONLY)
    assert client.get(image(work, "thumb"), headers={"If-None-Match": etag}).status_code == 404


def test_large_pictures_have_small_copies(cast: Cast) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(1, 3000, 1500)).save(buffer, "JPEG")
    large = register(cast.organisation, buffer.getvalue())[0]
    sizes = {
        size: Image.open(io.BytesIO(cast.client("anonymous").get(image(large, size)).content)).size
        for size in ("thumb", "full")
    }
    assert sizes == {"thumb": (360, 180), "full": (2048, 1024)}


def test_a_lost_copy_is_made_again(cast: Cast, work: Work) -> None:
    before = cast.client("anonymous").get(image(work, "thumb")).content
    for size in ("thumb", "full"):
        files.delete(Area.DERIVED, f"{work.sha256}-{size}.jpg")
    assert cast.client("anonymous").get(image(work, "thumb")).content == before
    assert files.path_of(Area.DERIVED, f"{work.sha256}-full.jpg").exists()
    files.write(Area.DERIVED, f"{work.sha256}-thumb.jpg", b"")
    assert cast.client("anonymous").get(image(work, "thumb")).content == before


def test_a_lost_file_is_not_found(cast: Cast, work: Work) -> None:
    files.delete(Area.DERIVED, f"{work.sha256}-thumb.jpg")
    files.delete(Area.WORKS, work.sha256)
    assert cast.client("anonymous").get(image(work, "thumb")).status_code == 404


@pytest.mark.parametrize("size", ["original", "huge", "thumb-full"])
def test_other_sizes_are_not_found(cast: Cast, work: Work, size: str) -> None:
    assert cast.client("owner").get(image(work, size)).status_code == 404


@pytest.mark.parametrize("who", EVERYBODY)
def test_a_deleted_work_is_not_found(cast: Cast, work: Work, who: str) -> None:
    works_delete(works=Work.objects.all(), organisation=cast.organisation, label="x", actor=cast.owner)
    client = cast.client(who)
    assert client.get(reverse("registry:work", args=[work.pk])).status_code == 404
    assert client.get(image(work, "thumb")).status_code == 404


def test_what_never_was_is_not_found(cast: Cast) -> None:
    client = cast.client("anonymous")
    assert client.get(reverse("registry:work", args=[uuid.uuid4()])).status_code == 404
    assert client.get("/works/../works/x/").status_code == 404
    assert client.post(reverse("registry:work", args=[uuid.uuid4()])).status_code == 405


def test_a_picture_without_fingerprints_says_so(cast: Cast) -> None:
    flat = register(cast.organisation, flat_png())[0]
    assert "too simple" in cast.client("anonymous").get(reverse("registry:work", args=[flat.pk])).content.decode()


def test_members_get_to_the_catalogue(cast: Cast) -> None:
    made = register(cast.organisation, jpeg(4))[0]
    catalogue = catalogue_create(organisation=cast.organisation, name="Prints", visibility="public", actor=cast.owner)
    item = CatalogueItem.objects.create(catalogue=catalogue, work=made, filename="a.jpg")
    url = reverse("catalogues:item", args=[item.pk])
    assert url in cast.client("viewer").get(reverse("registry:work", args=[made.pk])).content.decode()
    assert url not in cast.client("outsider").get(reverse("registry:work", args=[made.pk])).content.decode()
