"""Deep hashes: frozen codes, what edits turn."""

from __future__ import annotations

import numpy as np
import pytest

from provenance.hashing.autoencoders import AutoencoderHash, grey
from provenance.hashing.deephash import DEEP_HASHES, EDIT_HASH
from provenance.images.decode import decode
from provenance.images.edits import apply
from provenance.matching.policy import deep_policy
from tests.webapp.checks.conftest import sample

# Of the sample's calla. A change of a code is a new algorithm id.
CODES = {
    "edit-hash-64-v1": "82091339cf261543",
    "con-vae-64-v1": "aeac031dab0cbe76",
    "con-vae-128-v1": "c6cfb983f693f0e32a5dbe56729fd1c2",
}


def bits(packed: np.ndarray) -> np.ndarray:
    return np.unpackbits(packed, axis=-1)


@pytest.mark.parametrize("algorithm", DEEP_HASHES)
def test_codes_are_frozen(algorithm: str) -> None:
    hasher = DEEP_HASHES[algorithm]
    codes, features = hasher.encode([decode(sample("calla")).pixels])
    assert codes.shape == (1, hasher.length // 8)
    assert features.shape == (1, 1280 if hasher is EDIT_HASH else hasher.length)
    expected = np.frombuffer(bytes.fromhex(CODES[algorithm]), np.uint8)
    # A number next to its threshold may turn on another processor.
    assert (bits(codes[0]) != bits(expected)).sum() <= 1


def test_a_mirrored_picture_has_the_same_code_of_ours() -> None:
    pixels = decode(sample("calla")).pixels
    codes, _ = EDIT_HASH.encode([pixels, np.ascontiguousarray(pixels[:, ::-1])])
    assert (bits(codes[0]) != bits(codes[1])).sum() <= 1


def test_edits_turn_few_bits_of_ours_and_other_pictures_lie_apart() -> None:
    names = ("calla", "bridge", "picos", "wine", "fossa")
    pictures = [decode(sample(name)).pixels for name in names]
    stored, known = EDIT_HASH.encode(pictures)
    assert np.square(known).sum(1) == pytest.approx(1, abs=1e-5)
    near = deep_policy(EDIT_HASH.algorithm).candidate_radius
    for edit in ("deephash_rotate_+15", "deephash_crop_80", "deephash_noise_20", "deephash_flip"):
        codes, features = EDIT_HASH.encode([apply(edit, pixels, 1) for pixels in pictures])
        assert ((features @ known.T).argmax(1) == np.arange(len(names))).all(), edit
        apart = (bits(codes)[:, None] != bits(stored)[None]).sum(2)
        assert (apart.diagonal() <= near).all(), edit
        assert (apart.argmin(1) == np.arange(len(names))).all(), edit


def test_the_reconstruction_is_nearer_to_its_picture_than_to_another() -> None:
    hasher = DEEP_HASHES["con-vae-64-v1"]
    assert isinstance(hasher, AutoencoderHash)
    levels = np.stack([grey(decode(sample(name)).pixels, 128) for name in ("calla", "bridge")])
    made = hasher.reconstruct(hasher.encode_grey(levels)[1]).astype(float)
    assert made.shape == levels.shape
    errors = np.square(made[:, None] - levels[None]).mean((2, 3))
    assert errors[0, 0] < errors[0, 1]
    assert errors[1, 1] < errors[1, 0]


def test_ours_makes_no_picture() -> None:
    with pytest.raises(TypeError, match="no decoder"):
        EDIT_HASH.reconstruct(np.zeros((1, 64), np.float32))
