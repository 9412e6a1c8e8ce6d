"""What changed? One prompt, a picture as signature, and the same with one pixel altered: two pictures come out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.core.files.base import File
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.artwork.recipe import DEFAULT_EXCLUSIONS, PRESETS, Mode, Preset, Recipe
from provenance.artwork.signature import Signature, commit, pixel_digest
from provenance.images.decode import DecodeError, Limits, decode
from webapp import files
from webapp.accounts.models import User
from webapp.accounts.services import audit
from webapp.artworks.library import Wish, generator_errors, recipe_make
from webapp.artworks.limits import count_generation
from webapp.artworks.models import Trial
from webapp.artworks.storage import Part, delete_files_of, key_of, pixels_of, png
from webapp.artworks.studio import SliceOver, Studio
from webapp.artworks.vault import Keys, keys_keep, keys_of
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job
from webapp.jobs.services import Progress, hold_claim, job_create

RGB = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
JOB_KIND = "artwork_trial"
STEPS = (
    ("first", gettext_lazy("Generating with your signature")),
    ("second", gettext_lazy("Generating with one pixel altered")),
    ("comparing", gettext_lazy("Comparing")),
)
WEIGHTS = {"comparing": 0.02}
# Enough iterations to tell two pictures apart, few enough to wait for.
TRIAL = Preset(side=PRESETS["draft"].side, iterations=20, crops=8)
# It is decoded while its sender waits, and shown pixel by pixel.
MOST_PIXELS = 16_000_000


@dataclass(frozen=True)
class Alteration:
    """One pixel of a picture and the colour it is to have.

    Attributes:
        x, y: from the left and from the top, from 0.
    """

    x: int
    y: int
    colour: Colour


def picture_of(upload: File[bytes]) -> RGB:
    """Return the pixels of a picture that somebody wants to alter.

    Raises:
        ProductError: it is no picture that can be read, or too large.
    """
    limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=MOST_PIXELS)
    upload.seek(0)
    try:
        return decode(upload.read(limits.max_bytes + 1), limits).pixels
    except DecodeError as error:
        raise ProductError(
            ErrorCode.PICTURE_UNREADABLE, error.message, status=415, fields={"picture": [error.message]}
        ) from error


def trial_create(*, owner: User, prompt: str, picture: RGB, alteration: Alteration) -> Trial:
    """Have two pictures generated: from a prompt and a picture, and from the prompt and the picture altered.

    Both are made by one recipe, so that nothing but the key differs.

    Raises:
        ProductError: the pixel is outside the picture or has that colour already, the prompt will not do, the models
            are not here, or it is too much in this hour.
    """
    height, width, _channels = picture.shape
    if not (alteration.x < width and alteration.y < height):
        message = _("The picture has %(width)d × %(height)d pixels: columns 0 to %(x)d and rows 0 to %(y)d.") % {
            "width": width,
            "height": height,
            "x": width - 1,
            "y": height - 1,
        }
        raise ProductError(ErrorCode.INVALID, message, fields={"x": [message]})
    before = picture[alteration.y, alteration.x]
    if tuple(before) == alteration.colour:
        message = _("The pixel has this colour already. Choose another.")
        raise ProductError(ErrorCode.INVALID, message, fields={"colour": [message]})
    altered = picture.copy()
    altered[alteration.y, alteration.x] = alteration.colour
    keys = [pixel_digest(picture), pixel_digest(altered)]
    # Only pixels make the keys here, so that the file's own bytes are of no account.
    signatures = tuple(Signature(key, key) for key in keys)
    recipe = recipe_make(
        prompt=prompt, signature=signatures[0], wish=Wish("draft", Mode.CANONICAL, DEFAULT_EXCLUSIONS), preset=TRIAL
    )
    count_generation(user=owner, api_key=None)
    salt = bytes.fromhex(recipe.salt)
    trial = Trial(
        owner=owner,
        x=alteration.x,
        y=alteration.y,
        before=hex_of(tuple(int(value) for value in before)),  # type: ignore[arg-type]
        after=hex_of(alteration.colour),
        recipe=recipe.to_json().decode(),
        commitments=[recipe.key_commitment, commit(b"key" + keys[1], salt)],
        bits_changed=(int.from_bytes(keys[0], "big") ^ int.from_bytes(keys[1], "big")).bit_count(),
    )
    with transaction.atomic():
        trial.job = job_create(
            kind=JOB_KIND, steps=STEPS, payload={"trial": str(trial.pk), "weights": WEIGHTS}, owner=owner
        )
        keys_keep(job=trial.job, keys=Keys(prompt, signatures))
        trial.save(force_insert=True)
        audit(verb="artwork.trial_begun", obj=trial, actor=owner)
    return trial


def trial_run(*, trial_id: uuid.UUID | str, job: Job, progress: Progress) -> bool:
    """Generate both pictures and compare; return whether that is done. A second run after its end changes nothing.

    Raises:
        ProductError: it cannot be generated here.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    trial = Trial.objects.get(pk=trial_id)
    if trial.ssim is not None:
        return True
    keys = keys_of(job)
    recipe = Recipe.from_json(trial.recipe)
    pictures: list[RGB] = []
    for part, step, signature in zip((Part.FIRST, Part.SECOND), ("first", "second"), keys.signatures, strict=True):
        progress(step)
        try:
            pictures.append(_kept_or_made(trial, part, step, recipe, keys.prompt, signature, job, progress))
        except SliceOver:
            return False
    progress("comparing")
    with generator_errors():
        from provenance.artwork.proof import likeness

        alike = likeness(*pictures)
    trial.psnr_db, trial.ssim, trial.equal_share = alike.psnr_db, alike.ssim, alike.equal_share
    with transaction.atomic():
        hold_claim(job=job)
        trial.save(update_fields=("psnr_db", "ssim", "equal_share"))
    return True


def trials_expire() -> int:
    """Remove trials and their pictures when their time is over; return how many. Called once a minute."""
    due = Trial.objects.filter(created_at__lt=timezone.now() - timedelta(hours=settings.ARTWORK_TRIAL_HOURS))
    count = 0
    for trial in due:
        trial_delete(trial=trial)
        count += 1
    return count


def trial_delete(*, trial: Trial) -> None:
    """Remove a trial with its pictures."""
    with transaction.atomic():
        Job.objects.filter(pk=trial.job_id).delete()
        transaction.on_commit(lambda: delete_files_of(trial.pk))
        transaction.on_commit(lambda: delete_files_of(trial.job_id))


def hex_of(colour: Colour) -> str:
    """Return a colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _kept_or_made(
    trial: Trial,
    part: Part,
    step: str,
    recipe: Recipe,
    prompt: str,
    signature: Signature,
    job: Job,
    progress: Progress,
) -> RGB:
    """Return a picture of the trial: that of an earlier run, or a new one, which is kept.

    Raises:
        SliceOver: it is not done yet.
    """
    try:
        return pixels_of(files.read(Area.ARTWORKS, key_of(trial.pk, part)))
    except FileNotFoundError:
        pass
    studio = Studio(job=job, progress=progress, step=step)
    with generator_errors():
        from provenance.artwork.generator import generate

        made = studio.make(
            lambda after, checkpoint: generate(recipe, prompt, signature.key, on_iteration=after, checkpoint=checkpoint)
        )
    files.write(Area.ARTWORKS, key_of(trial.pk, part), png(made.pixels))
    studio.forget()
    return made.pixels
