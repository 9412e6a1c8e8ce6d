"""Who may do what with an artwork: the fixed cast at every address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.artworks.conftest import PROMPT, Request, signature, upload
from tests.webapp.conftest import Cast
from webapp.artworks.models import Artwork, Proof
from webapp.artworks.proofs import proof_create
from webapp.registry.models import Visibility

pytestmark = pytest.mark.django_db

EVERYBODY = ("owner", "colleague", "viewer", "outsider", "reviewer", "superuser", "anonymous")
MEMBERS = ("owner", "colleague", "viewer")
STAFF = ("reviewer", "superuser")


def statuses(cast: Cast, ask: Callable[[Client], Any]) -> dict[str, int]:
    return {who: ask(cast.client(who)).status_code for who in EVERYBODY}


def only(*allowed: str, yes: int = 200, no: int = 404, **others: int) -> dict[str, int]:
    return {who: others.get(who, yes if who in allowed else no) for who in EVERYBODY}


def address(name: str, *args: Any) -> str:
    return reverse(f"artworks:{name}", args=args)


@pytest.fixture
def public(registered: Request) -> Artwork:
    return registered()


@pytest.fixture
def private(registered: Request) -> Artwork:
    return registered(visibility=Visibility.RECORD_ONLY)


@pytest.mark.parametrize("name", ["detail", "recipe", "picture", "record"])
def test_a_public_artwork_is_everybodys_to_see(cast: Cast, public: Artwork, name: str) -> None:
    assert statuses(cast, lambda client: client.get(address(name, public.pk))) == only(*EVERYBODY)


def test_a_visitor_is_told_that_a_public_artwork_can_be_proved(public: Artwork, private: Artwork) -> None:
    offer = "Log in to prove ownership"
    assert offer in Client().get(address("detail", public.pk)).content.decode()
    assert offer not in Client().get(address("detail", private.pk)).content.decode()


@pytest.mark.parametrize(("name", "seen_by"), [("detail", EVERYBODY), ("recipe", EVERYBODY)])
def test_the_record_of_a_private_one_is_public(
    cast: Cast, private: Artwork, name: str, seen_by: tuple[str, ...]
) -> None:
    assert statuses(cast, lambda client: client.get(address(name, private.pk))) == only(*seen_by)


@pytest.mark.parametrize("name", ["picture", "record"])
def test_the_picture_of_a_private_one_is_for_members_and_staff(cast: Cast, private: Artwork, name: str) -> None:
    assert statuses(cast, lambda client: client.get(address(name, private.pk))) == only(*MEMBERS, *STAFF)


def test_strangers_find_no_way_to_a_private_picture(cast: Cast, private: Artwork) -> None:
    for who in ("outsider", "anonymous"):
        text = cast.client(who).get(address("detail", private.pk)).content.decode()
        for name in ("picture", "record", "prove", "edit"):
            assert address(name, private.pk) not in text, name
        assert "shows its record, not the picture" in text


@pytest.mark.parametrize("name", ["detail", "preview", "recipe"])
def test_one_under_way_is_for_members(cast: Cast, requested: Request, name: str) -> None:
    artwork = requested()
    # The preview is not written yet.
    found = only(*MEMBERS, yes=204 if name == "preview" else 200)
    assert statuses(cast, lambda client: client.get(address(name, artwork.pk))) == found


def test_a_preview_is_for_members(cast: Cast, requested: Request) -> None:
    from webapp import files
    from webapp.artworks.storage import preview_key
    from webapp.files import Area

    artwork = requested()
    files.write(Area.DERIVED, preview_key(artwork.job_id), b"\xff\xd8")
    assert statuses(cast, lambda client: client.get(address("preview", artwork.pk))) == only(*MEMBERS)


def test_its_job_is_cancelled_by_its_creator_and_editors(cast: Cast, requested: Request) -> None:
    answers = {}
    for who in EVERYBODY:
        artwork = requested()
        client = cast.client(who)
        offered = b"data-job-cancel" in client.get(address("detail", artwork.pk)).content
        answers[who] = client.post(reverse("jobs:cancel", args=[artwork.job_id])).status_code
        assert offered == (who in ("owner", "colleague"))
    assert answers == only("owner", "colleague", "superuser", no=404, viewer=403)


@pytest.mark.parametrize("name", ["edit", "delete", "restore"])
def test_changing_is_for_editors(cast: Cast, public: Artwork, name: str) -> None:
    found = statuses(cast, lambda client: client.post(address(name, public.pk), {"title": "T", "visibility": "public"}))
    if name == "delete":
        # The owner comes first; then it is not there for anybody.
        assert found == only("owner", yes=302, anonymous=302)
    else:
        assert found == only("owner", "colleague", yes=302, no=403, anonymous=302)


def test_making_one_is_for_editors(cast: Cast) -> None:
    given = {
        "prompt": "red",
        "organisation": str(cast.organisation.pk),
        "title": "T",
        "preset": "draft",
        "mode": "canonical",
        "visibility": "public",
    }
    for who in EVERYBODY:
        before = Artwork.objects.count()
        cast.client(who).post(address("new"), {**given, "signature": upload()})
        made = Artwork.objects.count() - before
        assert made == (who in ("owner", "colleague")), who


def test_a_public_one_is_proved_by_whoever_is_logged_in(cast: Cast, public: Artwork) -> None:
    prove = address("prove", public.pk)
    assert statuses(cast, lambda client: client.get(prove)) == only(*EVERYBODY, anonymous=302)
    answers = statuses(cast, lambda client: client.post(prove, {"prompt": PROMPT, "signature": upload()}))
    assert answers == only(*EVERYBODY, yes=302)
    assert Proof.objects.filter(artwork=public).count() == len(EVERYBODY) - 1


def test_a_private_one_is_proved_by_members(cast: Cast, private: Artwork) -> None:
    prove = address("prove", private.pk)
    expected = only(*MEMBERS, no=403, anonymous=302)
    assert statuses(cast, lambda client: client.get(prove)) == expected
    cast.client("outsider").post(prove, {"prompt": PROMPT, "signature": upload()})
    assert not Proof.objects.exists()


def test_whoever_has_its_link_reads_a_proof_and_sees_what_they_may(
    cast: Cast, private: Artwork, prove: Callable[..., Proof]
) -> None:
    proof = prove(private)
    where = address("proof", private.pk, proof.pk)
    assert statuses(cast, lambda client: client.get(where)) == only(*EVERYBODY)
    for part in ("made", "difference"):
        picture = address("proof-picture", private.pk, proof.pk, part)
        assert statuses(cast, lambda client: client.get(picture)) == only(*MEMBERS, *STAFF)  # noqa: B023
        for who in ("outsider", "anonymous"):
            text = cast.client(who).get(where).content.decode()
            assert picture not in text
            assert '<svg viewBox="0 0 256' not in text, "histograms tell of the picture"
            assert "Identical" in text


def test_proofs_are_listed_for_members_and_whoever_tried(
    cast: Cast, public: Artwork, prove: Callable[..., Proof]
) -> None:
    proof = proof_create(artwork=public, prompt=PROMPT, signature=signature(), prover=cast.outsider)
    where = address("proof", public.pk, proof.pk)
    listed = {who: where in cast.client(who).get(address("detail", public.pk)).content.decode() for who in EVERYBODY}
    assert listed == {who: who in (*MEMBERS, "outsider") for who in EVERYBODY}


def test_a_proof_of_another_artwork_is_not_here(cast: Cast, registered: Request, prove: Callable[..., Proof]) -> None:
    one, other = registered(), registered()
    proof = prove(one)
    assert cast.client("owner").get(address("proof", other.pk, proof.pk)).status_code == 404


def test_one_that_the_registry_has_purged_is_not_here(
    cast: Cast, registered: Request, prove: Callable[..., Proof]
) -> None:
    """Until the worker removes it, within a minute."""
    artwork = registered()
    proof = prove(artwork)
    assert artwork.work is not None
    artwork.work.delete()
    for where in (address("detail", artwork.pk), address("proof", artwork.pk, proof.pk)):
        assert statuses(cast, lambda client: client.get(where)) == only()  # noqa: B023


def test_pages_of_members_ask_strangers_to_log_in(cast: Cast) -> None:
    for name in ("list", "new", "what-changed"):
        response = Client().get(address(name))
        assert response["Location"].startswith(reverse("account_login"))
