"""What every hash algorithm offers, and the list of those that the product runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from provenance.hashing.code import Fingerprint, HashCode
from provenance.hashing.dinohash import house_hasher, plain_house_hasher
from provenance.hashing.pdq import Pdq
from provenance.hashing.phash import PHash

__all__ = ["HASHERS", "RETIRED", "Fingerprint", "Hasher"]

RGB = npt.NDArray[np.uint8]


class Hasher(Protocol):
    """A frozen algorithm: the same pixels give the same code for ever; a change is a new algorithm id."""

    @property
    def algorithm(self) -> str:
        """Versioned id, such as ``pdq-v1``."""

    @property
    def length(self) -> int:
        """Bits of a code."""

    def load(self) -> None:
        """Load what the algorithm needs, such as weights; after that it allocates no more than a picture asks for.

        Raises:
            provenance.models.errors.ModelMissing: weights are not here.
        """

    def hash(self, pictures: Sequence[RGB]) -> list[Fingerprint]:
        """Return one fingerprint for each uint8 [H,W,3] sRGB picture."""

    def hash_dihedral(self, picture: RGB) -> list[HashCode]:
        """Return the codes of the picture's eight variants in the order of ``dihedral.TRANSFORMS``."""


@dataclass(frozen=True)
class Retired:
    """An algorithm that nothing new is hashed by, searched until every work has the code of the one after it."""

    hasher: Hasher
    successor: str


HASHERS: dict[str, Hasher] = {hasher.algorithm: hasher for hasher in (Pdq(), PHash(), house_hasher())}
RETIRED: dict[str, Retired] = {
    hasher.algorithm: Retired(hasher, successor) for hasher, successor in ((plain_house_hasher(), "dinohash-house-v2"),)
}
