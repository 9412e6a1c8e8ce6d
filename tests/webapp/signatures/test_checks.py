"""Checks of signed pictures: what the signature points to, what it says, and what it must not be taken for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.urls import reverse
from PIL import Image

from provenance.images import edits
from provenance.images.decode import encode_jpeg
from provenance.matching.bearing import SIGNED_HASH, Bearing
from provenance.matching.policy import POLICIES
from provenance.matching.verify import PairKind
from provenance.watermark.payload import Payload
from provenance.watermark.sign import sign
from tests.webapp.checks.conftest import png, sample
from tests.webapp.conftest import Cast
from tests.webapp.signatures.conftest import Signed, copied, made_by, pixels
from webapp.checks import run
from webapp.checks.models import Check
from webapp.checks.signature import Standing, _leans, _standing
from webapp.registry.models import Descriptor, Fingerprint, Work
from webapp.registry.services import works_delete
from webapp.signatures.models import SignatureCode
from webapp.signatures.selectors import look
from webapp.signatures.services import code_revoke, generator_create

pytestmark = pytest.mark.django_db

CheckNow = Callable[..., Check]
Sign = Callable[..., Signed]


@pytest.fixture(autouse=True)
def without_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out a step that takes long and has nothing to do with signatures."""
    monkeypatch.setattr(run, "EXAMINERS", [one for one in run.EXAMINERS if one.key != "origin"])


def signature_of(check: Check) -> Any:
    return check.evidence.get(kind="signature")


def test_nothing_is_looked_for_before_the_first_was_given(check_now: CheckNow) -> None:
    found = signature_of(check_now(sample("calla")))
    assert (found.data["standing"], found.outcome) == (Standing.NOT_LOOKED, "neutral")


def test_an_edited_signed_copy_points_to_its_record(cast: Cast, signed: Sign, check_now: CheckNow) -> None:
    made = signed()
    edited = encode_jpeg(edits.apply("flip", pixels(made.data), 1), 70)
    check = check_now(edited)
    found = signature_of(check)
    assert (found.outcome, found.work, found.data["standing"]) == ("leans", made.work, Standing.OWN)
    assert found.data["number"] == made.code.number
    assert found.data["placement"]["mirrored"] is True
    assert found.data["false_acceptance"] <= 2**-38
    assert found.data["bearing"]["distance"] <= found.data["bearing"]["near_radius"]
    assert check.verdict == "registered"
    assert check.algorithms["signature"] == "signature-v1"
    html = cast.client("outsider").get(reverse("checks:detail", args=[check.pk])).content.decode()
    for words in ("Points to a record", "A signature is a pointer, not a proof.", "mirrored", str(made.code.number)):
        assert words in html


def test_a_screenshot_with_much_around_the_signed_picture_points_to_its_record(
    cast: Cast, signed: Sign, check_now: CheckNow
) -> None:
    made = signed()
    inside = pixels(made.data)
    height, width, _channels = inside.shape
    page = np.asarray(Image.fromarray(pixels(sample("calla"))).resize((width * 17 // 10, height * 17 // 10))).copy()
    page[height // 3 : height // 3 + height, width // 4 : width // 4 + width] = inside
    assert look(page).pointer is None, "it is read in the part only"
    check = check_now(png(page))
    found = signature_of(check)
    assert (found.outcome, found.work, found.data["standing"]) == ("leans", made.work, Standing.OWN)
    assert found.data["bearing"]["distance"] <= found.data["bearing"]["near_radius"]
    html = cast.client("outsider").get(reverse("checks:detail", args=[check.pk])).content.decode()
    assert "shown with other things around it" in html


def test_verification_looks_at_what_only_the_signature_points_to(signed: Sign, check_now: CheckNow) -> None:
    made = signed()
    Fingerprint.objects.all().delete()
    Descriptor.objects.all().delete()
    check = check_now(encode_jpeg(pixels(made.data), 80))
    pair = check.evidence.get(kind="pair")
    assert (pair.work, pair.outcome, pair.data["distances"]) == (made.work, "for", {})
    assert check.verdict == "registered"
    assert "bearing" not in signature_of(check).data


def test_a_copied_signature_is_caught(cast: Cast, signed: Sign, check_now: CheckNow) -> None:
    made = signed()
    check = check_now(copied(made))
    found = signature_of(check)
    assert (found.data["standing"], found.outcome) == (Standing.COPIED, "neutral")
    assert found.data["bearing"]["distance"] > found.data["bearing"]["candidate_radius"]
    assert found.data["verification"] == "rejected"
    assert "on another picture" in found.summary
    assert "chelsea" in found.summary
    assert check.verdict == "not_found"
    assert "It carries the signature of another record, “chelsea”" in check.explanation
    html = cast.client("owner").get(reverse("checks:detail", args=[check.pk])).content.decode()
    assert "Copied from another picture" in html


def test_a_forged_tag_is_refused(signed: Sign, check_now: CheckNow) -> None:
    made = signed()
    forged = png(sign(pixels(sample("calla")), Payload(made.code.number, b"12345")))
    check = check_now(forged)
    found = signature_of(check)
    assert (found.data["standing"], found.work) == (Standing.TRACES, None)
    assert found.data["presence"] > 0.95
    assert "probably signed" in found.summary
    assert check.verdict == "not_found"


def test_a_generators_signature_is_its_makers_word(cast: Cast, generator: SignatureCode, check_now: CheckNow) -> None:
    check = check_now(made_by(generator))
    found = signature_of(check)
    assert (found.data["standing"], found.outcome) == (Standing.GENERATOR, "neutral")
    assert "generator “Painter 1” of The Archive" in found.summary
    assert check.verdict == "not_found"
    html = cast.client("anonymous").get(reverse("checks:detail", args=[check.pk])).content.decode()
    assert "A generator&#x27;s" in html
    code_revoke(code=generator, actor=cast.owner)
    assert signature_of(check_now(made_by(generator))).data["standing"] == Standing.REVOKED


def test_revoked_and_deleted_records_say_so(cast: Cast, signed: Sign, check_now: CheckNow) -> None:
    made = signed()
    generator_create(organisation=cast.organisation, name="Another", actor=None)
    edited = encode_jpeg(pixels(made.data), 80)
    Work.objects.update(deleted_at=None)
    works_delete(works=Work.objects.all(), organisation=cast.organisation, label="x", actor=cast.owner)
    found = signature_of(check_now(edited))
    assert (found.data["standing"], found.outcome) == (Standing.DELETED, "neutral")
    assert "was deleted" in found.summary
    assert "chelsea" not in str(found.data)
    # For good, with its fingerprints: the number is still known to have been given.
    Work.objects.all().delete()
    made.code.refresh_from_db()
    code_revoke(code=made.code, actor=cast.owner)
    check = check_now(edited)
    assert signature_of(check).data["standing"] == Standing.REVOKED
    assert "revoked" in signature_of(check).summary
    assert check.verdict == "not_found"


def test_missing_networks_are_told_without_names_of_files(
    signed: Sign, check_now: CheckNow, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provenance.models.errors import ModelMissing
    from webapp.checks import signature

    made = signed()

    def missing(_pixels: object) -> None:
        raise ModelMissing("/srv/secret/place is missing", name="signature", command="")

    monkeypatch.setattr(signature, "look", missing)
    check = check_now(encode_jpeg(pixels(made.data), 80))
    assert signature_of(check).data == {"standing": Standing.NOT_AT_HAND}
    assert "/srv" not in signature_of(check).summary


@pytest.mark.parametrize(
    ("distance", "kind", "expected", "leans"),
    [
        (0, None, Standing.OWN, True),
        (0, PairKind.UNDECIDABLE, Standing.OWN, True),
        # A hash that was steered to the record's does not make another picture of it.
        (0, PairKind.REJECTED, Standing.UNSETTLED, False),
        (None, PairKind.VERIFIED, Standing.OWN, True),
        (60, PairKind.PARTIAL, Standing.UNSETTLED, True),
        (60, PairKind.REJECTED, Standing.COPIED, False),
        # Copied onto a picture that is too plain to compare.
        (60, PairKind.UNDECIDABLE, Standing.UNSETTLED, False),
        (60, None, Standing.UNSETTLED, False),
        (14, PairKind.REJECTED, Standing.UNSETTLED, False),
        (14, PairKind.UNDECIDABLE, Standing.UNSETTLED, True),
        (None, PairKind.REJECTED, Standing.UNSETTLED, False),
        (None, None, Standing.UNSETTLED, False),
    ],
)
def test_what_comparing_makes_of_it(
    distance: int | None, kind: PairKind | None, expected: Standing, leans: bool
) -> None:
    policy = POLICIES[SIGNED_HASH]
    assert policy.near_radius < 14 <= policy.candidate_radius < 60
    bearing = None if distance is None else Bearing(distance, policy)
    assert _standing(bearing, kind) == expected
    assert _leans(expected, bearing, kind) is leans
