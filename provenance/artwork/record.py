"""What is kept of a finished work beside its picture: public, canonical, enough to decode it again and to prove it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import rfc8785

from provenance.artwork.generator import Artwork
from provenance.artwork.recipe import Recipe, RecipeError, RecipeErrorCode

_MOST_BYTES = 4 * 2**20
_MOST_PLACES = 2**16
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """A recipe and what came of it.

    Attributes:
        codes: int64 ``[books, h, w]``.
        latent_sha256, pixel_sha256: as :class:`provenance.artwork.generator.Artwork` has them, hex.
    """

    recipe: Recipe
    codes: npt.NDArray[np.int64]
    latent_sha256: str
    pixel_sha256: str

    @classmethod
    def of(cls, recipe: Recipe, artwork: Artwork) -> Record:
        """Return the record of a finished work."""
        return cls(recipe, artwork.codes, artwork.latent_sha256, artwork.pixel_sha256)

    def to_json(self) -> bytes:
        """Return the one canonical form (RFC 8785); codes are big-endian 16-bit numbers in base 64."""
        return rfc8785.dumps(
            {
                "recipe": json.loads(self.recipe.to_json()),
                "shape": list(self.codes.shape),
                "codes": base64.b64encode(self.codes.astype(">u2").tobytes()).decode(),
                "latent_sha256": self.latent_sha256,
                "pixel_sha256": self.pixel_sha256,
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Record:
        """Read a record.

        Raises:
            RecipeError: it is no record, or its recipe is not one of this version.
        """
        if len(data) > _MOST_BYTES:
            raise _invalid("it is too large")
        try:
            found = json.loads(data)
            shape, digests = found["shape"], [found["latent_sha256"], found["pixel_sha256"]]
            if len(shape) != 3 or not all(type(side) is int and 0 < side <= _MOST_PLACES for side in shape):
                raise ValueError
            if not all(_DIGEST.fullmatch(digest) for digest in digests):
                raise ValueError
            codes = np.frombuffer(base64.b64decode(found["codes"], validate=True), ">u2").astype(np.int64)
            codes = codes.reshape(shape)
            recipe = json.dumps(found["recipe"])
        except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as error:
            raise _invalid("something in it is missing or has the wrong form") from error
        return cls(Recipe.from_json(recipe), codes, *digests)


def _invalid(why: str) -> RecipeError:
    return RecipeError(RecipeErrorCode.INVALID, f"This is not the record of a work: {why}.")
