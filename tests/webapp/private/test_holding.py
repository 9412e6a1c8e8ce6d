"""A holder makes a catalogue private and lets the site's worker fill it; entries go, come back, and go for good."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest
from django.urls import reverse

from provenance.private_lookup.errors import EngineFailed, Refused
from tests.webapp.catalogues.conftest import sent
from tests.webapp.checks.conftest import flat
from tests.webapp.conftest import Cast
from tests.webapp.pages.test_public import Page
from tests.webapp.pictures import png
from tests.webapp.private.conftest import Keyholders, begin, fill, finish
from webapp.accounts.models import AuditEntry, Organisation, User
from webapp.accounts.services import organisation_create
from webapp.catalogues.imports import import_create
from webapp.catalogues.models import Catalogue
from webapp.catalogues.services import catalogue_create, catalogue_delete
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import Job
from webapp.private import content, intake
from webapp.private.feature import feature
from webapp.private.models import HeldBy, PrivateCatalogue, PrivateState
from webapp.private.services import Terms, private_begin
from webapp.private.storage import blocks_of, holder_of, meeting_of, sweep
from webapp.registry.models import Visibility

pytestmark = pytest.mark.django_db

TERMS = {"held_by": "site", "algorithm": "dinohash-house-v2", "planned_entries": "100", "tau": ""}


def test_it_works(cast: Cast, catalogue: Catalogue, place: Keyholders) -> None:
    client = cast.client("owner")
    address = reverse("private:page", args=[catalogue.pk])
    page = client.get(address).content.decode()
    assert Page(page).inline == []
    assert "What chance does" in page
    expected = client.post(reverse("private:begin", args=[catalogue.pk]), TERMS).content.decode()
    # Said before anything is made.
    assert "at 100 pictures one in 2,100 checks, measured on 1,056,329 pairs" in expected
    assert "at most 14 of 96 bits differ" in expected
    assert not PrivateCatalogue.objects.exists()
    made = client.post(reverse("private:begin", args=[catalogue.pk]), {**TERMS, "confirm": "yes"})
    assert made["Location"] == address
    private = PrivateCatalogue.objects.get()
    assert "Keyholders make the joint keys" in client.get(address).content.decode()
    finish(private.job)
    private.refresh_from_db()
    assert (private.state, private.tau) == (PrivateState.READY, 14)
    assert not meeting_of(private).exchange.exists()

    files = [sent("1.png", png(1)), sent("2.png", png(2)), sent("flat.png", flat()), sent("text.png", b"no picture")]
    client.post(reverse("private:pictures", args=[catalogue.pk]), {"pictures": files})
    page = client.get(address).content.decode()
    assert "2 pictures were hashed, encrypted and forgotten." in page
    assert "“flat.png” was left out: It is too plain to be told from others" in page
    assert "“text.png” was left out" in page
    private.refresh_from_db()
    assert (private.entries, private.manifest) == (0, None)
    finish(private.job)
    private.refresh_from_db()
    assert private.entries == 2
    page = client.get(address).content.decode()
    assert Page(page).inline == []
    assert "Private, answers questions" in page
    # No bound reads as zero.
    assert "checks at most (95 % bound)" in page

    # Nothing in clear gets in by another way.
    catalogue.refresh_from_db()
    with pytest.raises(ProductError, match="takes no pictures in clear"):
        import_create(catalogue=catalogue, files=files, started_by=cast.owner)
    assert "Upload pictures" not in client.get(reverse("catalogues:detail", args=[catalogue.pk])).content.decode()
    verbs = set(AuditEntry.objects.filter(object_id=str(catalogue.pk)).values_list("verb", flat=True))
    assert verbs >= {"private.begun", "private.pictures_encrypted", "private.content_sent"}


def test_entries_are_deleted_come_back_and_are_encrypted_away(
    cast: Cast, catalogue: Catalogue, place: Keyholders
) -> None:
    private = begin(cast, catalogue)
    fill(cast, private, {f"{seed}.png": png(seed) for seed in (1, 2, 3)})
    before = {path.name for path in blocks_of(private).glob("*.block")}
    client = cast.client("owner")
    address = reverse("private:entries", args=[catalogue.pk])
    assert client.get(address)["Location"] == reverse("private:page", args=[catalogue.pk])
    client.post(address, {"entries": ["1.png", "2.png"], "delete": ""})
    private.refresh_from_db()
    finish(private.job)
    private.refresh_from_db()
    assert private.entries == 1
    client.post(address, {"entries": ["2.png"], "restore": ""})
    private.refresh_from_db()
    finish(private.job)
    private.refresh_from_db()
    assert private.entries == 2
    assert content.entries_of(private) == [("1.png", True), ("2.png", False), ("3.png", False)]
    # Nothing was encrypted anew so far, and deleted ones are not taken twice.
    assert {path.name for path in blocks_of(private).glob("*.block")} == before
    assert fill(cast, private, {"1.png": png(1)}).refused[0][0] == "1.png"
    with pytest.raises(ProductError, match=r"1 pictures that stay are missing, such as 3\.png"):
        fill(cast, private, {"2.png": png(2)}, compact=True)
    fill(cast, private, {"2.png": png(2), "3.png": png(3)}, compact=True)
    assert (private.entries, content.entries_of(private)) == (2, [("2.png", False), ("3.png", False)])
    after = {path.name for path in blocks_of(private).glob("*.block")}
    assert len(after) == 1
    assert not after & before
    missing = client.post(address, {"entries": ["9.png"], "delete": ""})
    assert missing.status_code == 404
    assert "no entry 9.png" in missing.content.decode()


def test_a_worker_that_is_killed_leaves_nothing_half_done(
    cast: Cast, catalogue: Catalogue, place: Keyholders, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = begin(cast, catalogue)
    run = subprocess.run

    def killed(*arguments: object, **options: object) -> object:
        options.pop("timeout")
        request = options.pop("input")
        process = subprocess.Popen(*arguments, stdin=subprocess.PIPE, **options)  # type: ignore[call-overload]
        process.stdin.write(request[:1000])
        os.kill(process.pid, signal.SIGKILL)
        out, _err = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, out)

    monkeypatch.setattr(intake.subprocess, "run", killed)
    with pytest.raises(ProductError, match="none was kept") as refused:
        fill(cast, private, {"1.png": png(1)})
    assert (refused.value.code, refused.value.status) == (ErrorCode.PRIVATE_UNAVAILABLE, 503)
    monkeypatch.setattr(intake.subprocess, "run", run)
    assert content.entries_of(private) == []
    # Killed after it had encrypted, and before anybody was told: found again every minute.
    monkeypatch.setattr(intake, "content_sync", lambda **_options: None)
    fill(cast, private, {"1.png": png(1)})
    assert private.offered is None
    assert content.offers_begin_owed() == 1
    private.refresh_from_db()
    finish(private.job)
    private.refresh_from_db()
    assert private.entries == 1
    assert content.offers_begin_owed() == 0
    # Engines that end during the check: what stood before stands, and the second time the new state is refused.
    manifest = blocks_of(private) / "manifest"
    before = manifest.read_bytes()

    def ends(*_arguments: object) -> None:
        raise EngineFailed("The engine ended.")

    monkeypatch.setattr(content, "offer", ends)
    finish(content.entries_delete(private=private, names=["1.png"], actor=cast.owner))
    private.refresh_from_db()
    assert (private.offered is None, private.problem, manifest.read_bytes() == before) == (False, "", True)
    page = cast.client("owner").get(reverse("private:page", args=[catalogue.pk])).content.decode()
    assert ("It is begun once more." in page, "was refused" in page) == (True, False)
    assert content.offers_begin_owed() == 1
    private.refresh_from_db()
    finish(private.job)
    private.refresh_from_db()
    assert (private.offered, private.problem, manifest.read_bytes() == before) == (None, "The engine ended.", True)
    assert content.offers_begin_owed() == 0
    # Refused while a newer state comes in: that one's first failure is its first, and not the second.
    newer: list[Job | None] = []

    def refuses(*_arguments: object) -> None:
        newer.append(content.entries_delete(private=private, names=["1.png"], actor=cast.owner))
        raise Refused("The older state is refused.")

    monkeypatch.setattr(content, "offer", refuses)
    finish(content.entries_restore(private=private, names=["1.png"], actor=cast.owner))
    private.refresh_from_db()
    assert (private.offered is None, private.problem, private.failed_checks) == (False, "", 0)
    # The row is the newer one's; why the older one was refused stands among what was done.
    activity = cast.client("owner").get(reverse("accounts_site:activity", args=[cast.organisation.pk])).content.decode()
    assert "The older state is refused." in activity
    monkeypatch.setattr(content, "offer", ends)
    for failed in (1, 2):
        finish(newer.pop() if newer else private.job)
        private.refresh_from_db()
        assert (private.offered is None, private.failed_checks) == (failed == 2, failed)
        content.offers_begin_owed()
        private.refresh_from_db()


def test_only_editors_of_its_organisation_change_it(cast: Cast, catalogue: Catalogue, place: Keyholders) -> None:
    address = reverse("private:begin", args=[catalogue.pk])
    confirmed = {**TERMS, "confirm": "yes"}
    assert cast.client("viewer").post(address, confirmed).status_code == 403
    assert cast.client("outsider").post(address, confirmed).status_code == 404
    assert cast.client("anonymous").post(address, confirmed).status_code == 302
    # Where a refused form leaves its sender.
    assert cast.client("owner").get(address)["Location"] == reverse("private:page", args=[catalogue.pk])
    assert not PrivateCatalogue.objects.exists()
    for wrong in ({"tau": "33"}, {"planned_entries": "0"}, {"held_by": "holder"}, {"algorithm": "phash-v1"}):
        assert cast.client("owner").post(address, {**confirmed, **wrong}).status_code == 400
    wrong = {**confirmed, "held_by": "holder", "identity": '{"name": "x"}'}
    assert "This is no identity.json" in cast.client("owner").post(address, wrong).content.decode()
    assert not PrivateCatalogue.objects.exists()


def test_an_organisation_has_so_many_and_the_site_has(
    cast: Cast, place: Keyholders, settings: Any
) -> None:
    settings.PRIVATE_MAX_CATALOGUES, settings.PRIVATE_MAX_CATALOGUES_SITE = 1, 2

    def begun(organisation: Organisation, name: str, actor: User) -> PrivateCatalogue:
        made = catalogue_create(organisation=organisation, name=name, visibility=Visibility.PUBLIC, actor=actor)
        terms = Terms(HeldBy.SITE, "pdq-v1", 32, False, 100)
        return private_begin(catalogue=made, terms=terms, holder=None, actor=actor)

    first = begun(cast.organisation, "one", cast.owner)
    with pytest.raises(ProductError, match="Your organisation and you have 1 private catalogues") as refused:
        begun(cast.organisation, "two", cast.colleague)
    assert (refused.value.code, refused.value.status) == (ErrorCode.QUOTA_EXCEEDED, 409)
    # Another organisation makes no room for the same person.
    with pytest.raises(ProductError, match="Your organisation and you"):
        begun(cast.elsewhere, "one", cast.owner)
    begun(cast.elsewhere, "two", cast.outsider)
    third = organisation_create(name="Third", founder=cast.colleague)
    with pytest.raises(ProductError, match="as it has room for"):
        begun(third, "one", cast.colleague)
    # What is deleted may come back: it makes room when it is purged, for its own organisation and for others.
    catalogue_delete(catalogue=first.catalogue, actor=cast.owner)
    with pytest.raises(ProductError, match="as it has room for"):
        begun(third, "two", cast.colleague)
    first.catalogue.delete()
    begun(third, "three", cast.colleague)


def test_keys_are_forgotten_with_their_catalogue(cast: Cast, catalogue: Catalogue, place: Keyholders) -> None:
    from webapp.embedded.waiting import within

    private = begin(cast, catalogue)
    meeting, key = meeting_of(private), private.key
    shares = [place.place / "keyholders" / name / key for name in ("archive", "museum")]
    assert all(list((share / "vault").glob("share*.sealed")) for share in shares)
    folder = holder_of(private).parent
    catalogue.delete()
    sweep()
    assert within(20, lambda: meeting.state("archive").forgotten and meeting.state("museum").forgotten)
    assert not any(share.exists() for share in shares)
    assert not folder.exists()


def test_where_it_is_off_the_page_says_what_to_do(
    cast: Cast, catalogue: Catalogue, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provenance.private_lookup import engine_setup
    from provenance.private_lookup.errors import EngineUnavailable
    from webapp.private import feature as module

    def missing() -> object:
        raise EngineUnavailable("run 'provenance private setup'")

    monkeypatch.setattr(engine_setup, "find", missing)
    monkeypatch.setattr(module, "_found", None)
    page = cast.client("owner").get(reverse("private:page", args=[catalogue.pk])).content.decode()
    assert "Private catalogues are off on this site." in page
    assert "provenance private setup" in page
    assert cast.client("owner").post(
        reverse("private:begin", args=[catalogue.pk]), {**TERMS, "confirm": "yes"}
    ).status_code == 503
    settings.PRIVATE_LOOKUP = False  # type: ignore[attr-defined]
    assert "PRIVATE_LOOKUP" in feature().reason
