"""The two keys of an artwork while a job needs them, and in a form that has to be sent again."""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from dataclasses import dataclass

from django.utils.translation import gettext as _

from provenance.artwork.signature import Signature
from webapp.artworks.models import Artwork, ArtworkSecret
from webapp.artworks.sealing import SealBroken, seal, unseal
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import Job

_FORM_SECONDS = 3600


@dataclass(frozen=True, repr=False)
class Keys:
    """A prompt and the signatures that go with it; one, or two for a trial. Never shown, not even by ``repr``."""

    prompt: str
    signatures: tuple[Signature, ...]


def keys_keep(*, job: Job, keys: Keys) -> None:
    """Keep the keys for a job, sealed."""
    data = {"prompt": keys.prompt, "signatures": [_plain(one) for one in keys.signatures]}
    ArtworkSecret.objects.create(job=job, sealed=seal(json.dumps(data).encode(), _job_context(job.pk)))


def keys_of(job: Job) -> Keys:
    """Return the keys of a job.

    Raises:
        ProductError: the site's secret was changed since, or the job is over.
    """
    try:
        sealed = ArtworkSecret.objects.get(job=job).sealed
        found = json.loads(unseal(bytes(sealed), _job_context(job.pk)))
    except (ArtworkSecret.DoesNotExist, SealBroken) as error:
        raise ProductError(
            ErrorCode.GONE, _("Your two keys can no longer be read here. Send them again."), status=410
        ) from error
    return Keys(found["prompt"], tuple(_signature(one) for one in found["signatures"]))


def keys_forget(job_id: uuid.UUID) -> None:
    """Remove the keys of a job; a job without any is fine."""
    ArtworkSecret.objects.filter(job_id=job_id).delete()


def seal_for_job(data: bytes, job_id: uuid.UUID) -> bytes:
    """Seal a file that gives the keys' work away, such as a checkpoint."""
    return seal(data, f"{_job_context(job_id)} file")


def unseal_for_job(sealed: bytes, job_id: uuid.UUID) -> bytes:
    """Open what :func:`seal_for_job` sealed.

    Raises:
        SealBroken: it does not open.
    """
    return unseal(sealed, f"{_job_context(job_id)} file")


def prompt_seal(prompt: str, artwork_id: uuid.UUID) -> bytes:
    """Seal a prompt that its creator wants to be kept."""
    return seal(prompt.encode(), f"prompt of {artwork_id}")


def prompt_of(artwork: Artwork) -> str | None:
    """Return the prompt, where it is kept and the site's secret still opens it."""
    if artwork.prompt_sealed is None:
        return None
    try:
        return unseal(bytes(artwork.prompt_sealed), f"prompt of {artwork.pk}").decode()
    except SealBroken:
        return None


def form_token(signature: Signature, user_id: int) -> str:
    """Return a signature that was read already, sealed for that person's next form, so that no file is sent twice."""
    data = {"signature": _plain(signature), "until": time.time() + _FORM_SECONDS}
    return base64.urlsafe_b64encode(seal(json.dumps(data).encode(), f"form of {user_id}")).decode()


def form_signature(token: str, user_id: int) -> Signature | None:
    """Return what :func:`form_token` sealed for that person within the last hour; None for anything else."""
    try:
        found = json.loads(unseal(base64.urlsafe_b64decode(token), f"form of {user_id}"))
    except (binascii.Error, ValueError):
        return None
    return _signature(found["signature"]) if found["until"] > time.time() else None


def _job_context(job_id: uuid.UUID) -> str:
    return f"job {job_id}"


def _plain(signature: Signature) -> list[str | None]:
    pixels = signature.pixel_digest
    return [signature.byte_digest.hex(), None if pixels is None else pixels.hex()]


def _signature(found: list[str | None]) -> Signature:
    byte_digest, pixel_digest = found
    assert byte_digest is not None
    return Signature(bytes.fromhex(byte_digest), None if pixel_digest is None else bytes.fromhex(pixel_digest))
