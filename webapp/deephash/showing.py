"""What a deep hash makes of a picture, to look at: code, reconstruction, and the nearest registered pictures."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from django.utils.translation import gettext as _
from PIL import Image

from provenance.hashing.autoencoders import grey
from provenance.hashing.deephash import too_plain
from provenance.images.decode import DecodeError, Limits, decode, pixel_sha256
from provenance.images.quality import is_identical, psnr, ssim
from provenance.matching.policy import FalseMatchRate
from webapp.catalogues.models import Catalogue
from webapp.deephash.hashes import Chosen, chosen_hash, hash_errors
from webapp.deephash.models import CatalogueHash
from webapp.deephash.search import FoundWork, codes_of, works_nearest
from webapp.errors import ErrorCode, ProductError
from webapp.registry.models import Work
from webapp.registry.renditions import MAX_SIDE, Size, rendition_read

U8 = npt.NDArray[np.uint8]

NEAREST = 5
SIDE = 128
_CELL = 12


@dataclass(frozen=True)
class Neighbour:
    """A registered picture near the query. PSNR (dB; None where the two are the same) and SSIM are of both as grey
    levels, 128 x 128, the registered one from its reduced copy; None too where that could not be read."""

    work: Work
    distance: int
    dissimilarity: float
    identical: bool
    psnr_db: float | None
    ssim: float | None
    within: bool


@dataclass(frozen=True)
class Shown:
    """A query as the hash sees it. Pictures are data addresses; ``reconstruction`` is None where it makes none."""

    algorithm: str
    query: str
    levels: str
    reconstruction: str | None
    reconstruction_psnr: float | None
    bits_picture: str
    hex: str
    length: int
    neighbours: list[Neighbour]
    threshold: int
    source: str
    rate: FalseMatchRate
    expected_false: float
    registered: bool


def show(*, catalogue: Catalogue, pixels: U8) -> Shown:
    """Look a picture up in a catalogue by its deep hash.

    Args:
        pixels: uint8 ``[H, W, 3]`` sRGB.

    Raises:
        ProductError: the catalogue uses no hash, the picture is too plain for one, or the model is not here.
    """
    choice = CatalogueHash.objects.filter(catalogue=catalogue).select_related("trained_model").first()
    if choice is None:
        raise ProductError(ErrorCode.CONFLICT, _("Choose a hash for this catalogue first."), status=409)
    if too_plain(pixels):
        message = _("This picture is too simple for a hash: nearly one colour, a plain pattern or very small.")
        raise ProductError(ErrorCode.INVALID, message, fields={"picture": [message]})
    # What goes wrong with the registered pictures is no fault of the model.
    with hash_errors(choice):
        chosen = chosen_hash(choice)
        codes, features = chosen.hasher.encode([pixels])
        made = chosen.hasher.reconstruct(features)[0] if chosen.hasher.reconstructs else None
    found = works_nearest(
        algorithm=choice.algorithm, code=codes[0], feature=features[0], limit=NEAREST, catalogue=catalogue.pk
    )
    works = Work.objects.select_related("catalogue_item").in_bulk([each.work_id for each in found])
    levels, digest = grey(pixels, SIDE), pixel_sha256(pixels)
    threshold = chosen.policy.near_radius
    neighbours = [
        _neighbour(levels, digest, works[each.work_id], each, each.distance <= threshold)
        for each in found
        if each.work_id in works
    ]
    size = codes_of(choice).count()
    return Shown(
        algorithm=choice.algorithm,
        query=_address(Image.fromarray(pixels), 360),
        levels=_address(Image.fromarray(levels)),
        reconstruction=None if made is None else _address(Image.fromarray(made)),
        reconstruction_psnr=None if made is None else psnr(levels, made),
        bits_picture=_address(Image.fromarray(bits_picture(codes[0]))),
        hex=codes[0].tobytes().hex(),
        length=chosen.hasher.length,
        neighbours=neighbours,
        threshold=threshold,
        source=chosen.policy.source,
        rate=chosen.policy.false_match_rate(threshold),
        expected_false=_expected(chosen, size),
        registered=bool(neighbours) and neighbours[0].within,
    )


def _expected(chosen: Chosen, size: int) -> float:
    return chosen.policy.expected_false_candidates(size, chosen.policy.near_radius).upper_bound


def _neighbour(levels: U8, digest: str, work: Work, found: FoundWork, within: bool) -> Neighbour:
    if work.pixel_sha256 == digest:
        return Neighbour(work, found.distance, found.dissimilarity, True, None, 1.0, within)
    # No request opens registered files: they may be large.
    side = MAX_SIDE[Size.FULL]
    try:
        copy = decode(rendition_read(work.sha256, Size.FULL), Limits(max_side=side, max_pixels=side * side)).pixels
    except (DecodeError, FileNotFoundError):
        return Neighbour(work, found.distance, found.dissimilarity, False, None, None, within)
    other = grey(copy, SIDE)
    same = is_identical(levels, other)
    return Neighbour(
        work,
        found.distance,
        found.dissimilarity,
        same,
        None if same else psnr(levels, other),
        ssim(levels, other),
        within,
    )


def bits_picture(code: U8) -> U8:
    """Return a code, uint8 ``[bits / 8]``, as a chequer of grey levels, eight bits a row, most significant first:
    ones are dark."""
    cells = np.where(np.unpackbits(code).reshape(-1, 8) == 1, 30, 225).astype(np.uint8)
    if len(cells) > 8:
        cells = np.concatenate(np.split(cells, len(cells) // 8), axis=1)
    board = cells.repeat(_CELL, 0).repeat(_CELL, 1)
    board[::_CELL] = board[:, ::_CELL] = 128
    return board


def _address(picture: Image.Image, side: int | None = None) -> str:
    if side is not None:
        picture.thumbnail((side, side))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
