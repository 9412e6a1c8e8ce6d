"""What people do with artworks. Each is one transaction with one audit entry; no key is in any."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.artwork.latent import prompt_text
from provenance.artwork.recipe import Recipe
from provenance.artwork.signature import Signature
from webapp.accounts.models import ApiKey, Organisation, User
from webapp.accounts.services import audit
from webapp.artworks.library import Wish, recipe_make
from webapp.artworks.limits import count_generation
from webapp.artworks.models import Artwork
from webapp.artworks.storage import delete_files_of
from webapp.artworks.vault import Keys, keys_keep, prompt_seal
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import Job
from webapp.jobs.services import job_cancel, job_create
from webapp.registry.models import Deletion, Work
from webapp.registry.services import works_delete, works_restore
from webapp.registry.storage import quota_error, storage_used

JOB_KIND = "artwork"
STEPS = (
    ("reading", gettext_lazy("Reading the words")),
    ("generating", gettext_lazy("Generating")),
    ("registering", gettext_lazy("Registering")),
)
# Of the time that a job takes, nearly all goes into this step.
WEIGHTS = {"reading": 0.01, "generating": 1.0, "registering": 0.02}


def artwork_create(
    *,
    organisation: Organisation,
    owner: User | None,
    title: str,
    prompt: str,
    signature: Signature,
    wish: Wish,
    visibility: str,
    keep_prompt: bool = False,
    api_key: ApiKey | None = None,
) -> Artwork:
    """Have a picture generated and registered for an organisation.

    Args:
        keep_prompt: keep the prompt, sealed, so that its creator can read it again.

    Raises:
        ProductError: the prompt, the title or the exclusions will not do, the models are not here, there is no room,
            or it is too much in this hour.
        ValidationError: the title or the visibility does not fit.
    """
    if prompt_text(title).casefold() == prompt_text(prompt).casefold():
        raise _title_is_prompt()
    recipe = recipe_make(prompt=prompt, signature=signature, wish=wish)
    artwork = Artwork(
        organisation=organisation,
        owner=owner,
        title=title.strip(),
        visibility=visibility,
        preset=wish.preset,
        mode=str(wish.mode),
        recipe=recipe.to_json().decode(),
        recipe_digest=recipe.digest,
    )
    artwork.clean_fields(exclude={"organisation", "owner", "job", "work"})
    used, needed = storage_used(organisation), 3 * recipe.side**2
    if used + needed > organisation.storage_quota_bytes:
        raise quota_error(organisation=organisation, used=used, needed=needed)
    count_generation(user=owner, api_key=api_key)
    if keep_prompt:
        artwork.prompt_sealed = prompt_seal(prompt, artwork.pk)
    with transaction.atomic():
        artwork.job = job_create(
            kind=JOB_KIND,
            steps=STEPS,
            payload={"artwork": str(artwork.pk), "weights": WEIGHTS},
            owner=owner,
            organisation=organisation,
        )
        keys_keep(job=artwork.job, keys=Keys(prompt, (signature,)))
        artwork.save(force_insert=True)
        audit(
            verb="artwork.requested",
            obj=artwork,
            actor=owner,
            api_key=api_key,
            organisation=organisation,
            data={"title": artwork.title, "recipe_digest": artwork.recipe_digest},
        )
    return artwork


@transaction.atomic
def artwork_edit(
    *, artwork: Artwork, title: str, visibility: str, actor: User | None, api_key: ApiKey | None = None
) -> Artwork:
    """Change what an artwork is called and what others see of it, and of its registered picture.

    Raises:
        ProductError: the title is the prompt, or the artwork was removed in the meantime.
        ValidationError: the title or the visibility does not fit.
    """
    if title.strip() != artwork.title and Recipe.from_json(artwork.recipe).is_prompt(title):
        raise _title_is_prompt()
    try:
        artwork = Artwork.objects.select_for_update(no_key=True).get(pk=artwork.pk)
    except Artwork.DoesNotExist:
        raise _removed() from None
    before = {"title": artwork.title, "visibility": artwork.visibility}
    artwork.title, artwork.visibility = title.strip(), visibility
    artwork.clean_fields(exclude={"organisation", "owner", "job", "work"})
    artwork.save(update_fields=("title", "visibility"))
    Work.objects.filter(artwork=artwork).update(title=artwork.title, visibility=visibility)
    audit(
        verb="artwork.edited",
        obj=artwork,
        actor=actor,
        api_key=api_key,
        organisation=artwork.organisation,
        data={"before": before},
    )
    return artwork


def _removed() -> ProductError:
    return ProductError(ErrorCode.NOT_FOUND, _("This artwork was removed in the meantime."), status=404)


def _title_is_prompt() -> ProductError:
    message = _("The title is public and the prompt is one of your two keys. Choose another title.")
    return ProductError(ErrorCode.INVALID, message, fields={"title": [message]})


@transaction.atomic
def prompt_forget(*, artwork: Artwork, actor: User | None) -> None:
    """Delete the kept prompt; a second time changes nothing."""
    if Artwork.objects.filter(pk=artwork.pk, prompt_sealed__isnull=False).update(prompt_sealed=None):
        audit(verb="artwork.prompt_forgotten", obj=artwork, actor=actor, organisation=artwork.organisation)


@transaction.atomic
def artwork_delete(*, artwork: Artwork, actor: User | None, api_key: ApiKey | None = None) -> Deletion | None:
    """Delete an artwork. A registered one can be brought back for a while: its deletion is returned.

    One that has no picture is gone at once; if it is on its way, it is cancelled.

    Raises:
        ProductError: it was removed in the meantime.
    """
    # The job first, as a worker locks it before what it writes.
    job = Job.objects.select_for_update().filter(artwork=artwork).first()
    if job is None:
        raise _removed()
    artwork = Artwork.objects.select_for_update(of=("self",)).select_related("organisation").get(pk=artwork.pk)
    if artwork.work_id is not None:
        return works_delete(
            works=Work.objects.filter(artwork=artwork),
            organisation=artwork.organisation,
            label=_("Artwork “%(title)s”") % {"title": artwork.title},
            actor=actor,
            api_key=api_key,
        )
    if not job.is_final:
        job_cancel(job=job)
    audit(
        verb="artwork.removed",
        obj=artwork,
        actor=actor,
        api_key=api_key,
        organisation=artwork.organisation,
        data={"title": artwork.title},
    )
    remove_for_good(artwork)
    return None


@transaction.atomic
def artwork_restore(*, artwork: Artwork, actor: User | None, api_key: ApiKey | None = None) -> None:
    """Undo the deletion of a registered artwork.

    Raises:
        ProductError: it is not deleted, the time in which this could be undone is over, or its picture has been
            registered in the meantime.
    """
    work = Work.objects.select_related("deletion").filter(artwork=artwork).first()
    if work is None or work.deletion is None:
        raise ProductError(ErrorCode.CONFLICT, _("This artwork is not deleted."), status=409)
    restored, _left = works_restore(deletion=work.deletion, actor=actor, api_key=api_key)
    if not restored:
        message = _("The same picture has been registered in the meantime, so that this artwork stays deleted.")
        raise ProductError(ErrorCode.CONFLICT, message, status=409)


def artworks_purge() -> int:
    """Remove what is left of artworks whose picture the registry has purged; return how many. Called once a minute."""
    purged = 0
    for artwork in Artwork.objects.filter(work=None, generated_at__isnull=False).select_related("job"):
        with transaction.atomic():
            remove_for_good(artwork)
        purged += 1
    return purged


def remove_for_good(artwork: Artwork) -> None:
    """Remove an artwork's rows, and its files and those of its proofs once that is committed."""
    proofs: list[tuple[uuid.UUID, uuid.UUID]] = list(artwork.proofs.values_list("pk", "job_id"))
    jobs = [artwork.job_id, *(job_id for _proof_id, job_id in proofs)]
    owners = [artwork.pk, *(proof_id for proof_id, _job_id in proofs), *jobs]
    # Rows go with their jobs.
    Job.objects.filter(pk__in=jobs).delete()

    def delete_files() -> None:
        for owner_id in owners:
            delete_files_of(owner_id)

    transaction.on_commit(delete_files)
