"""Registering works, and deleting them in a way that can be undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from pgvector import HalfVector

from provenance.hashing.code import Fingerprint
from provenance.hashing.descriptor import DESCRIPTOR, Vectors
from provenance.images.decode import Picture
from webapp import files
from webapp.accounts.models import ApiKey, Organisation, User
from webapp.accounts.services import audit
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area, sha256_of
from webapp.registry.models import HASH_COLUMNS, Deletion, Descriptor, Visibility, Work
from webapp.registry.models import Fingerprint as FingerprintRow
from webapp.registry.renditions import Size, rendition_key, renditions_make
from webapp.registry.storage import hold_files, quota_error, storage_used


@dataclass(frozen=True)
class WorkDetails:
    """What is said of a picture by whoever registers it."""

    title: str
    creator: str = ""
    licence: str = ""
    source_url: str = ""
    external_id: str = ""


@dataclass(frozen=True)
class WorkDraft:
    """A picture ready to be registered. ``width`` and ``height`` are those of the upright picture."""

    data: bytes
    sha256: str
    pixel_sha256: str
    media_type: str
    width: int
    height: int
    fingerprints: Sequence[Fingerprint]
    descriptors: Vectors | None
    renditions: Mapping[Size, bytes]
    details: WorkDetails


class Outcome(StrEnum):
    """What became of a draft. ``same_bytes`` and ``same_pixels``: this organisation has that picture already."""

    REGISTERED = "registered"
    SAME_BYTES = "same_bytes"
    SAME_PIXELS = "same_pixels"
    NO_ROOM = "no_room"


@dataclass(frozen=True)
class Registration:
    """What became of a draft, and the work that was made or was there; without room there is none but a refusal."""

    outcome: Outcome
    work: Work | None
    refusal: ProductError | None = None


def work_draft(
    *,
    data: bytes,
    picture: Picture,
    fingerprints: Sequence[Fingerprint],
    descriptors: Vectors | None,
    details: WorkDetails,
) -> WorkDraft:
    """Return the draft of a decoded picture. This makes its copies and digests and touches no database.

    Args:
        data: the file, byte for byte.
        fingerprints: one of each algorithm; those that are not usable are left out when it is registered.
        descriptors: float32 ``[crops, 256]``, or None for a picture that is too simple.
    """
    height, width, _channels = picture.pixels.shape
    return WorkDraft(
        data=data,
        sha256=sha256_of(data),
        pixel_sha256=picture.pixel_sha256,
        media_type=picture.media_type,
        width=width,
        height=height,
        fingerprints=fingerprints,
        descriptors=descriptors,
        renditions=renditions_make(picture.pixels),
        details=details,
    )


@transaction.atomic
def works_register(
    *,
    organisation: Organisation,
    drafts: Sequence[WorkDraft],
    registered_by: User | None,
    visibility: str = Visibility.PUBLIC,
) -> list[Registration]:
    """Register pictures for an organisation, each once; return what became of each, in the drafts' order.

    Writes no audit entry: whoever registers many in one act writes one for all.

    Raises:
        ValidationError: a draft's details do not fit a work.
    """
    hold_files()
    # One at a time for each organisation, so that duplicates and the quota are judged exactly.
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    used = storage_used(organisation)
    by_bytes, by_pixels = works_alike(
        organisation=organisation,
        sha256={draft.sha256 for draft in drafts},
        pixel_sha256={draft.pixel_sha256 for draft in drafts},
    )
    made: list[tuple[Work, WorkDraft]] = []
    registrations = []
    for draft in drafts:
        size = len(draft.data)
        if twin := by_bytes.get(draft.sha256):
            registrations.append(Registration(Outcome.SAME_BYTES, twin))
        elif twin := by_pixels.get(draft.pixel_sha256):
            registrations.append(Registration(Outcome.SAME_PIXELS, twin))
        elif used + size > organisation.storage_quota_bytes:
            refusal = quota_error(organisation=organisation, used=used, needed=size)
            registrations.append(Registration(Outcome.NO_ROOM, None, refusal))
        else:
            work = _work_of(draft, organisation, registered_by, visibility)
            used += size
            by_bytes[work.sha256] = by_pixels[work.pixel_sha256] = work
            made.append((work, draft))
            registrations.append(Registration(Outcome.REGISTERED, work))
    for work, draft in made:
        files.write(Area.WORKS, work.sha256, draft.data)
        for rendition, data in draft.renditions.items():
            files.write(Area.DERIVED, rendition_key(work.sha256, rendition), data, durable=False)
    Work.objects.bulk_create([work for work, _draft in made])
    FingerprintRow.objects.bulk_create(
        fingerprint_row(work, fingerprint)
        for work, draft in made
        for fingerprint in draft.fingerprints
        # One that says nothing of its picture would be near to every other such picture.
        if fingerprint.usable
    )
    Descriptor.objects.bulk_create(
        row for work, draft in made if draft.descriptors is not None for row in descriptor_rows(work, draft.descriptors)
    )
    return registrations


@transaction.atomic
def work_register(
    *,
    organisation: Organisation,
    picture: Picture,
    data: bytes,
    fingerprints: Sequence[Fingerprint],
    descriptors: Vectors | None,
    title: str,
    creator: str = "",
    licence: str = "",
    source_url: str = "",
    external_id: str = "",
    visibility: str = Visibility.PUBLIC,
    registered_by: User | None,
    api_key: ApiKey | None = None,
) -> tuple[Work, bool]:
    """Register one picture; return its work and whether it is new.

    Raises:
        ProductError: the organisation's storage quota is used up.
        ValidationError: the details do not fit a work.
    """
    details = WorkDetails(title, creator, licence, source_url, external_id)
    draft = work_draft(data=data, picture=picture, fingerprints=fingerprints, descriptors=descriptors, details=details)
    (registration,) = works_register(
        organisation=organisation, drafts=[draft], registered_by=registered_by, visibility=visibility
    )
    if registration.work is None:
        assert registration.refusal is not None
        raise registration.refusal
    created = registration.outcome == Outcome.REGISTERED
    if created:
        audit(
            verb="work.registered",
            obj=registration.work,
            actor=registered_by,
            api_key=api_key,
            organisation=organisation,
            data={"title": title, "sha256": draft.sha256},
        )
    return registration.work, created


def works_alike(
    *, organisation: Organisation, sha256: set[str], pixel_sha256: set[str]
) -> tuple[dict[str, Work], dict[str, Work]]:
    """Return the organisation's live works with any of these bytes, and with any of these pixels, by digest."""
    found = (
        Work.objects.live()
        .filter(organisation=organisation)
        .filter(Q(sha256__in=sha256) | Q(pixel_sha256__in=pixel_sha256))
        .order_by("-created_at", "id")
    )
    by_bytes: dict[str, Work] = {}
    by_pixels: dict[str, Work] = {}
    # The oldest comes last and stays: it is the one that later copies are duplicates of.
    for work in found:
        by_bytes[work.sha256] = by_pixels[work.pixel_sha256] = work
    return by_bytes, by_pixels


@transaction.atomic
def works_delete(
    *,
    works: QuerySet[Work],
    organisation: Organisation,
    label: str,
    actor: User | None,
    api_key: ApiKey | None = None,
) -> Deletion:
    """Delete an organisation's works as one act, which can be undone; those deleted already are left out.

    Args:
        label: what is deleted, in words: it is shown beside the button that undoes it.
    """
    deletion = Deletion.objects.create(organisation=organisation, label=label[:300], deleted_by=actor)
    chosen = works.filter(organisation=organisation).live().values("pk")  # type: ignore[attr-defined]
    deletion.count = Work.objects.filter(pk__in=chosen).update(deleted_at=deletion.created_at, deletion=deletion)
    deletion.save(update_fields=("count",))
    audit(
        verb="works.deleted",
        obj=deletion,
        actor=actor,
        api_key=api_key,
        organisation=organisation,
        data={"label": deletion.label, "count": deletion.count},
    )
    return deletion


@transaction.atomic
def works_restore(*, deletion: Deletion, actor: User | None, api_key: ApiKey | None = None) -> tuple[int, int]:
    """Undo a deletion; return how many works live again and how many cannot.

    A work cannot live again when the same picture has been registered in the meantime.

    Raises:
        ProductError: it was undone already, or its time is over.
    """
    deletion = Deletion.objects.select_for_update().get(pk=deletion.pk)
    if deletion.restored_at:
        raise ProductError(ErrorCode.CONFLICT, _("This has been undone already."), status=409)
    if deletion.undo_until <= timezone.now():
        raise ProductError(ErrorCode.GONE, _("The time in which this could be undone is over."), status=410)
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=deletion.organisation_id)
    twins = Work.objects.live().filter(organisation=organisation).values("sha256")
    restored = deletion.works.exclude(sha256__in=twins).update(deleted_at=None, deletion=None)
    left = deletion.works.count()
    deletion.restored_at = timezone.now()
    deletion.save(update_fields=("restored_at",))
    audit(
        verb="works.restored",
        obj=deletion,
        actor=actor,
        api_key=api_key,
        organisation=organisation,
        data={"label": deletion.label, "count": restored, "left": left},
    )
    return restored, left


def _work_of(draft: WorkDraft, organisation: Organisation, registered_by: User | None, visibility: str) -> Work:
    work = Work(
        organisation=organisation,
        registered_by=registered_by,
        title=draft.details.title,
        creator=draft.details.creator,
        licence=draft.details.licence,
        source_url=draft.details.source_url,
        external_id=draft.details.external_id,
        visibility=visibility,
        sha256=draft.sha256,
        pixel_sha256=draft.pixel_sha256,
        media_type=draft.media_type,
        width=draft.width,
        height=draft.height,
        byte_size=len(draft.data),
    )
    work.clean_fields(exclude={"organisation", "registered_by", "deletion"})
    return work


def fingerprint_row(work: Work, fingerprint: Fingerprint) -> FingerprintRow:
    """Return the row of a usable fingerprint, not yet saved."""
    code = fingerprint.code
    column = {HASH_COLUMNS[code.length]: code.bitstring()}
    return FingerprintRow(work=work, algorithm=code.algorithm, quality=fingerprint.quality, **column)


def descriptor_rows(work: Work, vectors: Vectors) -> list[Descriptor]:
    """Return the rows of a work's descriptors, float32 ``[crops, 256]``, not yet saved."""
    return [
        Descriptor(work=work, algorithm=DESCRIPTOR.algorithm, crop=crop, vector=HalfVector(vector))
        for crop, vector in enumerate(vectors)
    ]
