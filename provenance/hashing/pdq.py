"""PDQ: 256 bits from the low frequencies of a 64x64 luminance picture (ThreatExchange, "The TMK+PDQF
Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019; package ``pdqhash``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pdqhash

from provenance.hashing.code import Fingerprint, HashCode
from provenance.hashing.dihedral import dihedral
from provenance.hashing.reduce import reduced

RGB = npt.NDArray[np.uint8]


class Pdq:
    """``pdq-v1``. Stateless; its answers depend on the pixels alone."""

    algorithm = "pdq-v1"
    length = 256
    # The paper's own advice: below 50 of 100 the picture has too few gradients for its code to mean anything.
    # Measured: none of 11,553 photographs (Flickr8k, Caltech 101) lies below; flat pictures, straight ramps and
    # faint noise do; and no two of the smooth pictures above it come within the published threshold.
    minimum_quality = 0.5

    def load(self) -> None:
        """Nothing has to be loaded."""

    def hash(self, pictures: Sequence[RGB]) -> list[Fingerprint]:
        """Return one fingerprint for each uint8 [H,W,3] sRGB picture."""
        fingerprints = []
        for picture in pictures:
            bits, percent = pdqhash.compute(np.ascontiguousarray(reduced(picture)))
            quality = percent / 100
            fingerprints.append(
                Fingerprint(HashCode.from_array(self.algorithm, bits), quality, quality >= self.minimum_quality)
            )
        return fingerprints

    def hash_dihedral(self, picture: RGB) -> list[HashCode]:
        """Return the codes of the picture's eight variants in the order of ``dihedral.TRANSFORMS``."""
        return [fingerprint.code for fingerprint in self.hash(dihedral(reduced(picture)))]
