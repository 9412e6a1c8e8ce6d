"""Generating an artwork and registering its picture."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.utils import timezone

from provenance.artwork.recipe import Recipe
from provenance.images.decode import decode
from webapp import files
from webapp.artworks.library import generator_errors
from webapp.artworks.models import Artwork
from webapp.artworks.storage import Part, key_of, png
from webapp.artworks.studio import SliceOver, Studio
from webapp.artworks.vault import keys_of
from webapp.files import Area
from webapp.jobs.models import Job
from webapp.jobs.services import Progress, hold_claim
from webapp.registry.fingerprints import descriptors_of, fingerprints_of
from webapp.registry.services import work_register


def artwork_run(*, artwork_id: uuid.UUID | str, job: Job, progress: Progress) -> bool:
    """Generate, or go on generating; return whether the artwork is done. A second run after its end changes nothing.

    Raises:
        ProductError: it cannot be generated here, or there is no room for it.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    progress("reading")
    artwork = Artwork.objects.select_related("organisation", "owner").get(pk=artwork_id)
    if artwork.generated_at is not None:
        return True
    keys = keys_of(job)
    recipe = Recipe.from_json(artwork.recipe)
    with generator_errors():
        from provenance.artwork.generator import generate
        from provenance.artwork.record import Record

        (signature,) = keys.signatures
        try:
            made = Studio(job=job, progress=progress, step="generating").make(
                lambda after, checkpoint: generate(
                    recipe, keys.prompt, signature.key, on_iteration=after, checkpoint=checkpoint
                )
            )
        except SliceOver:
            return False
    progress("registering")
    data = png(made.pixels)
    picture = decode(data)
    fingerprints, descriptors = fingerprints_of(picture.pixels), descriptors_of(picture.pixels)
    record = Record.of(recipe, made)
    with transaction.atomic():
        hold_claim(job=job)
        artwork = (
            Artwork.objects.select_for_update(of=("self",)).select_related("organisation", "owner").get(pk=artwork_id)
        )
        files.write(Area.ARTWORKS, key_of(artwork.pk, Part.RECORD), record.to_json())
        artwork.work, _created = work_register(
            organisation=artwork.organisation,
            picture=picture,
            data=data,
            fingerprints=fingerprints,
            descriptors=descriptors,
            title=artwork.title,
            visibility=artwork.visibility,
            registered_by=artwork.owner,
        )
        artwork.latent_sha256, artwork.pixel_sha256 = made.latent_sha256, made.pixel_sha256
        artwork.seconds = job.timings.get("generating")
        artwork.generated_at = timezone.now()
        artwork.save(update_fields=("work", "latent_sha256", "pixel_sha256", "seconds", "generated_at"))
    return True
