"""What people do with catalogues and what is in them. Each is one transaction with one audit entry."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import asdict

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp.accounts.models import ApiKey, Organisation, User
from webapp.accounts.services import audit
from webapp.catalogues.models import Catalogue, CatalogueItem
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.services import job_cancel
from webapp.registry.models import Deletion, Work
from webapp.registry.services import WorkDetails, works_delete, works_restore


@transaction.atomic
def catalogue_create(
    *,
    organisation: Organisation,
    name: str,
    description: str = "",
    visibility: str,
    actor: User | None,
    api_key: ApiKey | None = None,
) -> Catalogue:
    """Make an empty catalogue.

    Raises:
        ProductError: the organisation has one of that name.
        ValidationError: the name or visibility does not fit.
    """
    catalogue = Catalogue(
        organisation=organisation, name=name.strip(), description=description.strip(), visibility=visibility
    )
    catalogue.clean_fields(exclude={"organisation", "deletion"})
    _save_named(catalogue)
    audit(
        verb="catalogue.created",
        obj=catalogue,
        actor=actor,
        api_key=api_key,
        organisation=organisation,
        data={"name": catalogue.name},
    )
    return catalogue


@transaction.atomic
def catalogue_edit(
    *, catalogue: Catalogue, name: str, description: str, visibility: str, actor: User | None
) -> Catalogue:
    """Change a catalogue's name, description and visibility; its works take on the visibility.

    Raises:
        ProductError: the organisation has another of that name, or it was deleted.
        ValidationError: the name or visibility does not fit.
    """
    catalogue = _lock(catalogue)
    before = {"name": catalogue.name, "description": catalogue.description, "visibility": catalogue.visibility}
    catalogue.name, catalogue.description = name.strip(), description.strip()
    catalogue.visibility = visibility
    catalogue.clean_fields(exclude={"organisation", "deletion"})
    _save_named(catalogue)
    if visibility != before["visibility"]:
        Work.objects.filter(catalogue_item__catalogue=catalogue).update(visibility=visibility)
    audit(
        verb="catalogue.edited",
        obj=catalogue,
        actor=actor,
        organisation=catalogue.organisation,
        data={"before": before},
    )
    return catalogue


@transaction.atomic
def catalogue_delete(*, catalogue: Catalogue, actor: User | None) -> Deletion:
    """Delete a catalogue and the works in it, and stop its imports; it can be undone as one.

    Raises:
        ProductError: it was deleted already.
    """
    # Jobs are locked before their catalogue, in the order in which an import does.
    for job in Job.objects.filter(catalogue_import__catalogue=catalogue).exclude(state__in=FINAL_STATES):
        job_cancel(job=job)
    catalogue = _lock(catalogue)
    deletion = works_delete(
        works=Work.objects.filter(catalogue_item__catalogue=catalogue),
        organisation=catalogue.organisation,
        label=_("Catalogue “%(name)s”") % {"name": catalogue.name},
        actor=actor,
    )
    catalogue.deleted_at, catalogue.deletion = deletion.created_at, deletion
    catalogue.save(update_fields=("deleted_at", "deletion"))
    audit(
        verb="catalogue.deleted",
        obj=catalogue,
        actor=actor,
        organisation=catalogue.organisation,
        data={"name": catalogue.name, "deletion": str(deletion.pk)},
    )
    return deletion


@transaction.atomic
def deletion_undo(*, deletion: Deletion, actor: User | None) -> tuple[int, int]:
    """Undo a deletion of works, or of a catalogue with its works; return how many live again and how many cannot.

    Raises:
        ProductError: it was undone already, its time is over, a catalogue of that name exists now, or the works'
            own catalogue was deleted after them.
    """
    catalogue = Catalogue.objects.select_for_update(no_key=True).filter(deletion=deletion).first()
    if catalogue:
        catalogue.deleted_at = catalogue.deletion = None
        _save_named(catalogue)
        audit(verb="catalogue.restored", obj=catalogue, actor=actor, organisation=catalogue.organisation)
    buried = CatalogueItem.objects.filter(work__deletion=deletion, catalogue__deleted_at__isnull=False)
    if buried.exists():
        raise ProductError(
            ErrorCode.CONFLICT, _("The catalogue of these pictures was deleted too. Undo that first."), status=409
        )
    return works_restore(deletion=deletion, actor=actor)


@transaction.atomic
def items_delete(
    *,
    catalogue: Catalogue,
    item_ids: Collection[uuid.UUID | str],
    actor: User | None,
    api_key: ApiKey | None = None,
) -> Deletion:
    """Delete pictures of a catalogue as one act, which can be undone; ids from elsewhere are left out.

    Raises:
        ProductError: none of them is there.
    """
    items = _items(catalogue, item_ids)
    titles = list(items.values_list("work__title", flat=True)[:2])
    count = items.count()
    label = (
        _("“%(title)s” from “%(catalogue)s”") % {"title": titles[0], "catalogue": catalogue.name}
        if count == 1
        else ngettext("%(count)d picture from “%(catalogue)s”", "%(count)d pictures from “%(catalogue)s”", count)
        % {"count": count, "catalogue": catalogue.name}
    )
    return works_delete(
        works=Work.objects.filter(catalogue_item__in=items),
        organisation=catalogue.organisation,
        label=label,
        actor=actor,
        api_key=api_key,
    )


@transaction.atomic
def items_move(
    *, catalogue: Catalogue, item_ids: Collection[uuid.UUID | str], target: Catalogue, actor: User | None
) -> int:
    """Move pictures to another catalogue of the same organisation, whose visibility they take on; return how many.

    Raises:
        ProductError: none of them is there, or the target is not one to move to.
    """
    target = _lock(target)
    if target.is_private:
        raise ProductError(
            ErrorCode.CONFLICT, _("That catalogue is private: it takes no pictures in clear."), status=409
        )
    if target.organisation_id != catalogue.organisation_id:
        raise ProductError(ErrorCode.INVALID, _("Pictures move within one organisation only."))
    chosen = list(_items(catalogue, item_ids).values_list("pk", "work_id"))
    CatalogueItem.objects.filter(pk__in=[pk for pk, _work in chosen]).update(catalogue=target)
    Work.objects.filter(pk__in=[work for _pk, work in chosen]).update(visibility=target.visibility)
    audit(
        verb="items.moved",
        obj=target,
        actor=actor,
        organisation=target.organisation,
        data={"from": str(catalogue.pk), "count": len(chosen)},
    )
    return len(chosen)


@transaction.atomic
def item_edit(*, item: CatalogueItem, details: WorkDetails, actor: User | None) -> CatalogueItem:
    """Change what is said of a picture.

    Raises:
        ValidationError: the details do not fit a work.
    """
    work = Work.objects.select_for_update(no_key=True).get(pk=item.work_id)
    after = asdict(details)
    before = {name: getattr(work, name) for name in after}
    for name, value in after.items():
        setattr(work, name, value)
    work.clean_fields(exclude={"organisation", "registered_by", "deletion"})
    work.save(update_fields=tuple(after))
    audit(verb="item.edited", obj=item, actor=actor, organisation=item.catalogue.organisation, data={"before": before})
    item.work = work
    return item


def _items(catalogue: Catalogue, item_ids: Collection[uuid.UUID | str]) -> QuerySet[CatalogueItem]:
    items = CatalogueItem.objects.filter(catalogue=catalogue, pk__in=item_ids, work__deleted_at=None)
    if not items.exists():
        raise ProductError(ErrorCode.NOT_FOUND, _("Choose at least one picture of this catalogue."), status=404)
    return items


def _lock(catalogue: Catalogue) -> Catalogue:
    locked = (
        Catalogue.objects.select_for_update(no_key=True, of=("self",))
        .select_related("organisation")
        .filter(pk=catalogue.pk, deleted_at=None)
        .first()
    )
    if locked is None:
        raise ProductError(ErrorCode.GONE, _("The catalogue has been deleted."), status=410)
    return locked


def _save_named(catalogue: Catalogue) -> None:
    try:
        with transaction.atomic():
            catalogue.save()
    except IntegrityError as error:
        raise ProductError(
            ErrorCode.CONFLICT,
            _("There is another catalogue “%(name)s” already. Give one of them another name first.")
            % {"name": catalogue.name},
            status=409,
            fields={"name": [_("Another catalogue of this organisation has this name.")]},
        ) from error
