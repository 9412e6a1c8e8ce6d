"""The receipt: everything that was answered, in bytes that never change."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import rfc8785

from tests.webapp.checks.conftest import Register, Submit, edited, sample
from tests.webapp.conftest import Cast
from webapp.accounts.models import Organisation
from webapp.checks.models import Check
from webapp.checks.receipt import receipt, receipt_bytes
from webapp.checks.services import check_delete
from webapp.errors import ErrorCode, ProductError
from webapp.files import sha256_of
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db


@pytest.fixture
def checked(register: Register, check_now: Submit) -> Check:
    register("calla")
    return check_now(edited("calla", "screenshot"))


def test_it_works(checked: Check) -> None:
    content = json.loads(receipt_bytes(checked))
    assert content["schema"] == "provenance.receipt.v1"
    assert content["check"] == str(checked.pk)
    assert content["picture"]["sha256"] == sha256_of(edited("calla", "screenshot"))
    assert (content["verdict"], content["verdict_words"]) == ("registered", "Registered")
    assert content["registry_size"] == 1
    assert content["algorithms"]["verification"] == "verify-v2"
    kinds = [item["kind"] for item in content["evidence"]]
    assert kinds == ["picture", "exact", *["candidates"] * 4, "pair", "signature", "origin"]
    pair = content["evidence"][-3]["figures"]
    assert pair["work"]["title"] == "calla"
    assert pair["thresholds"]["verified"] <= pair["probability"] <= 1
    assert content["submitted_at"] < content["finished_at"]


def test_its_digest_is_that_of_everything_else(checked: Check) -> None:
    """Anybody can tell that nothing was changed: the digest's own member is cut out, the rest is hashed as it is."""
    raw = receipt_bytes(checked)
    digest = json.loads(raw)["receipt_sha256"]
    member = f'"receipt_sha256":"{digest}",'.encode()
    assert raw.count(member) == 1
    assert hashlib.sha256(raw.replace(member, b"")).hexdigest() == digest
    changed = raw.replace(member, b"").replace(b'"verdict":"registered"', b'"verdict":"not_found"')
    assert hashlib.sha256(changed).hexdigest() != digest


def test_it_is_canonical(checked: Check) -> None:
    """RFC 8785: keys in order, no blanks, UTF-8, no number in two forms."""

    def in_order(members: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _value in members]
        assert keys == sorted(keys)
        return dict(members)

    raw = receipt_bytes(checked)
    content = json.loads(raw, object_pairs_hook=in_order)
    assert rfc8785.dumps(content) == raw
    assert "“calla”".encode() in raw


def test_its_bytes_stay_whatever_becomes_of_the_rows_around(cast: Cast, checked: Check) -> None:
    before = receipt_bytes(checked)
    check_delete(check=checked)
    Work.objects.update(title="another title")
    Organisation.objects.filter(pk=cast.organisation.pk).update(name="Another name")
    # A row written later, as after a run that was repeated, comes in its own place.
    last = checked.evidence.get(kind="picture")
    last.pk = None
    checked.evidence.get(kind="picture").delete()
    last.save(force_insert=True)
    assert receipt_bytes(Check.objects.select_related("job").get(pk=checked.pk)) == before
    Work.objects.all().delete()
    assert receipt_bytes(Check.objects.select_related("job").get(pk=checked.pk)) == before


@pytest.mark.parametrize(
    ("data", "run", "code", "status"),
    [
        (sample("calla"), False, ErrorCode.CONFLICT, 409),
        (sample("calla")[:900], True, ErrorCode.GONE, 410),
    ],
)
def test_without_a_verdict_there_is_none(
    submit: Submit, check_now: Submit, data: bytes, run: bool, code: ErrorCode, status: int
) -> None:
    check: Any = (check_now if run else submit)(data)
    with pytest.raises(ProductError) as refusal:
        receipt(check)
    assert (refusal.value.code, refusal.value.status) == (code, status)
    assert (refusal.value.retry_after is not None) == (status == 409)
