"""What a deep hash makes of a picture, to look at: code, reconstruction, and the nearest registered pictures."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from provenance.hashing.autoencoders import grey
from provenance.images.quality import is_identical, psnr, ssim
from provenance.matching.policy import FalseMatchRate
from webapp.catalogues.models import Catalogue
from webapp.deephash.hashes import Chosen, chosen_hash
from webapp.deephash.models import CatalogueHash, DeepCode
from webapp.deephash.search import works_nearest
from webapp.deephash.services import pixels_of
from webapp.registry.models import Work

U8 = npt.NDArray[np.uint8]

NEAREST = 5
SIDE = 128
_CELL = 12


@dataclass(frozen=True)
class Neighbour:
    """A registered picture near the query. PSNR (dB; None where the two are the same) and SSIM are of both as grey
    levels, 128 x 128; None too where the file could not be read."""

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


def show(*, catalogue: Catalogue, choice: CatalogueHash, pixels: U8) -> Shown:
    """Look a picture up in a catalogue by its deep hash.

    Args:
        pixels: uint8 ``[H, W, 3]`` sRGB.

    Raises:
        provenance.models.errors.ModelError: the hash's model is not here.
        KeyError: this program does not know the hash.
    """
    chosen = chosen_hash(choice)
    codes, features = chosen.hasher.encode([pixels])
    found = works_nearest(
        algorithm=choice.algorithm, code=codes[0], feature=features[0], limit=NEAREST, catalogue=catalogue.pk
    )
    works = Work.objects.in_bulk([each.work_id for each in found])
    levels = grey(pixels, SIDE)
    threshold = chosen.policy.near_radius
    neighbours = [
        _neighbour(levels, works[each.work_id], each.distance, each.dissimilarity, each.distance <= threshold)
        for each in found
        if each.work_id in works
    ]
    made = chosen.hasher.reconstruct(features)[0] if chosen.hasher.reconstructs else None
    size = DeepCode.objects.filter(
        algorithm=choice.algorithm, work__catalogue_item__catalogue=catalogue, work__deleted_at=None
    ).count()
    return Shown(
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


def _neighbour(levels: U8, work: Work, distance: int, dissimilarity: float, within: bool) -> Neighbour:
    pixels = pixels_of(work)
    if pixels is None:
        return Neighbour(work, distance, dissimilarity, False, None, None, within)
    other = grey(pixels, SIDE)
    same = is_identical(levels, other)
    return Neighbour(
        work, distance, dissimilarity, same, None if same else psnr(levels, other), ssim(levels, other), within
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
