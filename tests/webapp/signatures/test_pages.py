"""Who may have a work's file and signed copy, and what the page of its signature says: the fixed cast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from tests.webapp.checks.conftest import Register, sample
from tests.webapp.conftest import Cast
from tests.webapp.signatures.conftest import Signed
from webapp.jobs.models import Job
from webapp.jobs.runner import execute
from webapp.registry.models import Visibility
from webapp.signatures.models import SignatureCode
from webapp.signatures.services import code_revoke

pytestmark = pytest.mark.django_db

EVERYBODY = ("owner", "colleague", "viewer", "outsider", "reviewer", "superuser", "anonymous")
MEMBERS = {"owner", "colleague", "viewer"}


def statuses(cast: Cast, method: str, name: str, *arguments: Any) -> dict[str, int]:
    where = reverse(f"signatures:{name}", args=arguments)
    return {who: getattr(cast.client(who), method)(where).status_code for who in EVERYBODY}


def test_files_are_for_members(cast: Cast, signed: Callable[..., Signed]) -> None:
    made = signed()
    for name in ("work", "original", "signed"):
        found = statuses(cast, "get", name, made.work.pk)
        assert found == {who: 200 if who in MEMBERS else 404 for who in EVERYBODY}, name
    client = cast.client("viewer")
    original = client.get(reverse("signatures:original", args=[made.work.pk]))
    assert original.content == sample("chelsea")
    assert original["Content-Disposition"] == 'attachment; filename="chelsea.jpeg"'
    made.work.title = "Café ../\r\n\"at\" night"
    made.work.save()
    copy = client.get(reverse("signatures:signed", args=[made.work.pk]))
    assert copy.content == made.data
    assert copy["Content-Disposition"] == "attachment; filename*=utf-8''caf%C3%A9-at-night-signed.png"


def test_signing_and_revoking_are_for_owners_and_editors(cast: Cast, register: Register) -> None:
    work = register("chelsea")
    allowed = {"owner": 302, "colleague": 302, "viewer": 403, "anonymous": 302}
    expected = {who: allowed.get(who, 404) for who in EVERYBODY}
    for name in ("sign", "revoke", "restore"):
        assert statuses(cast, "post", name, work.pk) == expected, name
        leads = cast.client("owner").get(reverse(f"signatures:{name}", args=[work.pk]))
        assert leads["Location"] == reverse("signatures:work", args=[work.pk])
    assert SignatureCode.objects.count() == 1
    answer = cast.client("anonymous").post(reverse("signatures:sign", args=[work.pk]))
    assert answer["Location"].startswith(reverse("account_login"))


def test_the_page_tells_how_it_is(cast: Cast, register: Register) -> None:
    work = register("chelsea")
    owner, viewer = cast.client("owner"), cast.client("viewer")
    where = reverse("signatures:work", args=[work.pk])
    link = "Download original or signed"
    assert link in owner.get(reverse("registry:work", args=[work.pk])).content.decode()
    assert link not in cast.client("outsider").get(reverse("registry:work", args=[work.pk])).content.decode()
    assert "Make a signed copy" in owner.get(where).content.decode()
    assert "Make a signed copy" not in viewer.get(where).content.decode()
    assert owner.get(reverse("signatures:signed", args=[work.pk])).status_code == 404

    owner.post(reverse("signatures:sign", args=[work.pk]))
    assert "Being signed" in viewer.get(where).content.decode()
    execute(str(Job.objects.get(kind="signature_sign").pk))
    code = SignatureCode.objects.get()
    page = viewer.get(where).content.decode()
    assert "Download signed" in page
    assert str(code.number) in page
    assert "a pointer, not a proof" in page
    assert "Revoke" not in page

    owner.post(reverse("signatures:revoke", args=[work.pk]))
    page = owner.get(where).content.decode()
    assert f"Signature {code.number} is revoked" in page
    assert "Make a signed copy" in page
    assert owner.get(reverse("signatures:signed", args=[work.pk])).status_code == 404
    owner.post(reverse("signatures:restore", args=[work.pk]))
    assert "Download signed" in owner.get(where).content.decode()
    code_revoke(code=code, actor=cast.owner)


def test_a_deleted_work_has_none(cast: Cast, signed: Callable[..., Signed]) -> None:
    from webapp.registry.models import Work
    from webapp.registry.services import works_delete

    made = signed(visibility=Visibility.RECORD_ONLY)
    works_delete(works=Work.objects.all(), organisation=cast.organisation, label="x", actor=cast.owner)
    for name in ("work", "original", "signed"):
        assert cast.client("owner").get(reverse(f"signatures:{name}", args=[made.work.pk])).status_code == 404
