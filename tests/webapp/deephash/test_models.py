"""Trained models: how many there may be, which are asked, and how they go."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from provenance.hashing.deephash import DEEP_HASHES
from tests.webapp.conftest import Cast
from tests.webapp.deephash.conftest import finish, trained
from webapp.accounts.models import AuditEntry, Organisation
from webapp.catalogues.models import Catalogue
from webapp.catalogues.services import catalogue_create
from webapp.catalogues.uploads import catalogues_purge
from webapp.checks.candidates import rank
from webapp.checks.context import Near
from webapp.checks.models import Check
from webapp.deephash import examiners, services, training
from webapp.deephash.hashes import trained_hash
from webapp.deephash.models import CatalogueHash, DeepCode, TrainedModel
from webapp.deephash.storage import Part, path_of
from webapp.errors import ProductError
from webapp.registry.models import Visibility

pytestmark = pytest.mark.django_db


def another(organisation: Organisation, name: str) -> Catalogue:
    return catalogue_create(organisation=organisation, name=name, visibility=Visibility.PUBLIC, actor=None)


@pytest.mark.usefixtures("small")
def test_an_organisation_has_so_many_models_and_no_more(
    cast: Cast, pictures: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MOST_MODELS", 2)
    model = trained(pictures)
    trained(another(cast.elsewhere, "Theirs"))
    failed = trained(pictures)
    TrainedModel.objects.filter(pk=failed.pk).update(trained_at=None)
    training.training_begin(catalogue=pictures, kind="ae", bits=64, actor=cast.owner)
    other = another(cast.organisation, "More")
    pictures.items.update(catalogue=other)
    with pytest.raises(ProductError, match="has 2 trained hashes"):
        training.training_begin(catalogue=other, kind="ae", bits=64, actor=cast.owner)
    services.model_delete(model=model, actor=cast.owner)
    training.training_begin(catalogue=other, kind="ae", bits=64, actor=cast.owner)


def test_a_model_is_deleted_once_that_is_confirmed(
    cast: Cast, pictures: Catalogue, django_capture_on_commit_callbacks: Any
) -> None:
    model = trained(pictures)
    services.hash_choose(catalogue=pictures, algorithm=model.algorithm, actor=cast.owner)
    choice = CatalogueHash.objects.get()
    assert choice.job is not None
    finish(choice.job)
    assert DeepCode.objects.count() == 3
    address = reverse("deephash:delete", args=[pictures.pk, model.pk])
    page = cast.client("owner").get(reverse("deephash:page", args=[pictures.pk])).content.decode()
    assert address in page
    assert "have no deep hash afterwards: “Prints”." in page
    for who, data, status in (
        ("owner", {}, 400),
        ("viewer", {"confirm": "on"}, 403),
        ("outsider", {"confirm": "on"}, 404),
        ("anonymous", {"confirm": "on"}, 302),
    ):
        assert cast.client(who).post(address, data).status_code == status, who
    theirs = another(cast.elsewhere, "Theirs")
    elsewhere = reverse("deephash:delete", args=[theirs.pk, model.pk])
    assert cast.client("outsider").post(elsewhere, {"confirm": "on"}).status_code == 404
    assert TrainedModel.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        assert cast.client("colleague").post(address, {"confirm": "on"}).status_code == 302
    assert not TrainedModel.objects.exists()
    assert not CatalogueHash.objects.exists()
    assert not DeepCode.objects.exists()
    assert not path_of(model.pk, Part.WEIGHTS).exists()
    verbs = list(AuditEntry.objects.order_by("-pk").values_list("verb", "data")[:2])
    assert verbs == [
        ("catalogue.hash_deleted", {"algorithm": model.algorithm}),
        ("catalogue.hash_chosen", {"algorithm": ""}),
    ]
    assert "deleted a trained deep hash" in cast.client("owner").get(
        reverse("accounts_site:activity", args=[cast.organisation.pk])
    ).content.decode()


def test_a_model_that_somebody_deletes_at_the_same_time_is_deleted_once(cast: Cast, pictures: Catalogue) -> None:
    model = trained(pictures)
    same = TrainedModel.objects.get()
    services.model_delete(model=model, actor=cast.owner)
    services.model_delete(model=same, actor=cast.colleague)
    assert AuditEntry.objects.get(verb="catalogue.hash_deleted").actor == cast.owner


def test_a_check_asks_so_many_hashes_those_of_its_sender_first(
    cast: Cast, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examiners, "MOST_ASKED", 3)
    shipped = next(iter(DEEP_HASHES))
    theirs = [trained(another(cast.elsewhere, str(n))) for n in range(4)]
    for model in theirs:
        assert model.catalogue is not None
        services.hash_choose(catalogue=model.catalogue, algorithm=model.algorithm, actor=cast.outsider)
    for n in (4, 5):
        services.hash_choose(catalogue=another(cast.elsewhere, str(n)), algorithm=shipped, actor=cast.outsider)
    own = trained(catalogue)
    services.hash_choose(catalogue=catalogue, algorithm=own.algorithm, actor=cast.owner)

    def asked(check: Check) -> list[str]:
        return [choice.algorithm for choice in examiners._asked(check)]

    first = theirs[0].algorithm
    assert asked(Check(owner=cast.viewer)) == [own.algorithm, shipped, first]
    assert asked(Check(organisation=cast.organisation)) == [own.algorithm, shipped, first]
    assert asked(Check()) == [shipped, first, theirs[1].algorithm]


@pytest.mark.parametrize(("pairs", "near"), [(400, False), (999_999, False), (1_000_000, True)])
def test_near_by_a_hash_that_few_pairs_vouch_for_keeps_no_check_from_a_verdict(
    catalogue: Catalogue, pairs: int, near: bool
) -> None:
    model = trained(catalogue)
    model.curve = [*[0] * 16, pairs, *[0] * 48]
    policy = trained_hash(model).policy
    assert policy.near_radius == 15
    work = uuid.UUID(int=1)
    (suspect,) = rank({work: {model.algorithm: Near(15, 0)}}, {model.algorithm: policy})
    assert suspect.is_near is near
    (suspect,) = rank({work: {model.algorithm: Near(16, 0)}}, {model.algorithm: policy})
    assert not suspect.is_near


def test_a_model_outlives_its_catalogue_while_another_uses_it(cast: Cast, pictures: Catalogue) -> None:
    model = trained(another(cast.organisation, "Gone"))
    services.hash_choose(catalogue=pictures, algorithm=model.algorithm, actor=cast.owner)
    assert model.catalogue is not None
    Catalogue.objects.filter(pk=model.catalogue.pk).update(deleted_at=timezone.now() - timedelta(days=999))
    assert catalogues_purge() == 1
    assert services.models_forget() == 0
    choice = CatalogueHash.objects.get(catalogue=pictures)
    assert choice.trained_model == model
    assert choice.job is not None
    finish(choice.job)
    assert DeepCode.objects.filter(algorithm=model.algorithm).count() == 3
    page = cast.client("owner").get(reverse("deephash:page", args=[pictures.pk])).content.decode()
    assert "of a deleted catalogue" in page
    services.hash_choose(catalogue=pictures, algorithm="", actor=cast.owner)
    assert services.models_forget() == 1
    assert not TrainedModel.objects.exists()
    entry = AuditEntry.objects.order_by("-pk")[0]
    assert (entry.verb, entry.actor, entry.organisation) == ("catalogue.hash_deleted", None, cast.organisation)
