"""Proving ownership: the commitments are opened at once, then the work is made again from the keys that were given."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.artwork.recipe import Recipe
from provenance.artwork.signature import Signature
from provenance.hashing.code import hamming
from provenance.hashing.pdq import Pdq
from webapp import files
from webapp.accounts.models import ApiKey, Organisation, User
from webapp.accounts.services import audit
from webapp.artworks.library import check_prompt, generator_errors
from webapp.artworks.limits import count_generation
from webapp.artworks.models import Artwork, Proof
from webapp.artworks.storage import Part, key_of, pixels_of, png
from webapp.artworks.studio import SliceOver, Studio
from webapp.artworks.vault import Keys, keys_keep, keys_of
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job
from webapp.jobs.services import Progress, hold_claim, job_create

if TYPE_CHECKING:
    from provenance.artwork.record import Record

RGB = npt.NDArray[np.uint8]
JOB_KIND = "artwork_proof"
STEPS = (
    ("decoding", gettext_lazy("Decoding the registered codes")),
    ("generating", gettext_lazy("Making the work again")),
    ("comparing", gettext_lazy("Comparing")),
)
WEIGHTS = {"decoding": 0.02, "generating": 1.0, "comparing": 0.02}


@dataclass(frozen=True)
class Registered:
    """What is registered of an artwork: its record with the codes, and its pixels [H,W,3]."""

    record: Record
    pixels: RGB


def registered_of(artwork: Artwork) -> Registered:
    """Read what is registered of an artwork.

    Raises:
        ProductError: it is deleted.
    """
    from provenance.artwork.record import Record

    if not artwork.is_registered:
        raise _gone()
    assert artwork.work is not None
    try:
        record = Record.from_json(files.read(Area.ARTWORKS, key_of(artwork.pk, Part.RECORD)))
        return Registered(record, pixels_of(files.read(Area.WORKS, artwork.work.sha256)))
    except FileNotFoundError as error:
        raise _gone() from error


def _gone() -> ProductError:
    return ProductError(ErrorCode.GONE, _("This artwork is not registered any more."), status=410)


def proof_create(
    *,
    artwork: Artwork,
    prompt: str,
    signature: Signature,
    prover: User | None,
    organisation: Organisation | None = None,
    api_key: ApiKey | None = None,
) -> Proof:
    """Have a registered work made again from a prompt and a signature, whether or not they open its commitments.

    Args:
        organisation: of the key that asks.

    Raises:
        ProductError: the artwork is not registered (yet or any more), the prompt is empty or too long, or it is too
            much in this hour.
    """
    if artwork.generated_at is None:
        message = _("This artwork has no picture yet, so that there is nothing to prove.")
        raise ProductError(ErrorCode.CONFLICT, message, status=409)
    if not artwork.is_registered:
        raise _gone()
    check_prompt(prompt)
    count_generation(user=prover, api_key=api_key)
    fit = Recipe.from_json(artwork.recipe).fits(prompt, signature)
    proof = Proof(
        artwork=artwork,
        prover=prover,
        organisation=organisation,
        prompt_fits=fit.prompt,
        key_fits=fit.key,
        file_fits=fit.file,
    )
    with transaction.atomic():
        proof.job = job_create(
            kind=JOB_KIND,
            steps=STEPS,
            payload={"proof": str(proof.pk), "weights": WEIGHTS},
            owner=prover,
            organisation=organisation,
            watched_by_link=True,
        )
        keys_keep(job=proof.job, keys=Keys(prompt, (signature,)))
        proof.save(force_insert=True)
        audit(
            verb="artwork.proof_begun",
            obj=proof,
            actor=prover,
            api_key=api_key,
            organisation=artwork.organisation,
            data={"artwork": str(artwork.pk), "title": artwork.title},
        )
    return proof


def proof_run(*, proof_id: uuid.UUID | str, job: Job, progress: Progress) -> bool:
    """Make the work again and compare; return whether that is done. A second run after its end changes nothing.

    Raises:
        ProductError: the work was deleted, or it cannot be made again here.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    progress("decoding")
    proof = Proof.objects.select_related("artwork__work").get(pk=proof_id)
    if proof.verdict:
        return True
    keys = keys_of(job)
    registered = registered_of(proof.artwork)
    record = registered.record
    (signature,) = keys.signatures
    with generator_errors():
        from provenance.artwork.proof import prove, redecodes

        if proof.redecoded is None:
            proof.redecoded = redecodes(record.recipe, record.codes, registered.pixels)
            _save(proof, job, "redecoded")
        try:
            result = Studio(job=job, progress=progress, step="generating").make(
                lambda after, checkpoint: prove(
                    record.recipe,
                    keys.prompt,
                    signature,
                    pixels=registered.pixels,
                    codes=record.codes,
                    latent_sha256=record.latent_sha256,
                    on_iteration=after,
                    checkpoint=checkpoint,
                )
            )
        except SliceOver:
            return False
    progress("comparing")
    made = result.artwork
    files.write(Area.ARTWORKS, key_of(proof.pk, Part.MADE), png(made.pixels))
    files.write(Area.ARTWORKS, key_of(proof.pk, Part.DIFFERENCE), png(difference_of(made.pixels, registered.pixels)))
    proof.verdict = str(result.verdict)
    proof.codes_equal, proof.latent_equal = result.codes_equal, result.latent_equal
    proof.psnr_db, proof.ssim = result.likeness.psnr_db, result.likeness.ssim
    proof.equal_share = result.likeness.equal_share
    proof.hash_distance = hash_distance(made.pixels, registered.pixels)
    proof.pixel_sha256 = made.pixel_sha256
    proof.seconds = job.timings.get("generating")
    alike = ("psnr_db", "ssim", "equal_share", "hash_distance")
    _save(proof, job, "verdict", *alike, "codes_equal", "latent_equal", "pixel_sha256", "seconds")
    return True


def difference_of(one: RGB, other: RGB) -> RGB:
    """Return where two pictures of one size differ: black is nowhere, pale yellow the most."""
    from provenance.images.align import difference

    return difference(one, other, np.ones(one.shape[:2], dtype=bool))


def hash_distance(one: RGB, other: RGB) -> int:
    """Return in how many of 256 bits the perceptual hashes (pdq-v1) of two pictures differ."""
    first, second = Pdq().hash([one, other])
    return hamming(first.code, second.code)


@transaction.atomic
def _save(proof: Proof, job: Job, *fields: str) -> None:
    hold_claim(job=job)
    proof.save(update_fields=fields)
