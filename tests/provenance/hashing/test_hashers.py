"""The hash algorithms: frozen by vectors, near for copies, silent on pictures too simple to fingerprint."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage import data

from provenance.hashing.code import hamming
from provenance.hashing.dihedral import TRANSFORMS, dihedral
from provenance.hashing.hasher import HASHERS, Hasher
from provenance.hashing.reduce import reduced

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "hashes.json"
RGB = npt.NDArray[np.uint8]


def synthetic() -> dict[str, RGB]:
    """Pictures made from integers alone, so that every machine has the same."""
    y, x = np.mgrid[0:192, 0:256]
    waves = np.stack([(x * y // 64) % 256, (x * 3 + y * 5) % 256, (x ^ y) % 256], axis=2).astype(np.uint8)
    noise = np.random.default_rng(7).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    blocks = np.random.default_rng(8).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    return {"waves": waves, "noise": noise, "blocks": blocks.repeat(16, axis=0).repeat(16, axis=1)}


@pytest.fixture(params=HASHERS)
def hasher(request: pytest.FixtureRequest) -> Hasher:
    return HASHERS[request.param]


def test_vectors_are_kept(hasher: Hasher) -> None:
    expected = json.loads(VECTORS.read_text())[hasher.algorithm]
    found = {name: hasher.hash([picture])[0].code.hex for name, picture in synthetic().items()}
    assert found == expected


def test_a_batch_gives_what_its_pictures_give(hasher: Hasher) -> None:
    pictures = list(synthetic().values())
    assert hasher.hash(pictures) == [hasher.hash([picture])[0] for picture in pictures]
    assert hasher.hash([]) == []


def test_a_copy_is_near_and_a_stranger_far(hasher: Hasher) -> None:
    picture, stranger = data.astronaut(), data.coffee()
    _ok, encoded = cv2.imencode(".jpg", cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA))
    copy = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    original, near, far = (found.code for found in hasher.hash([picture, copy, stranger]))
    assert hamming(original, near) <= hasher.length // 12
    assert hamming(original, far) >= hasher.length // 4


def test_dihedral_codes_find_turned_and_mirrored_copies(hasher: Hasher) -> None:
    picture = data.astronaut()
    codes = hasher.hash_dihedral(picture)
    assert len(codes) == len(TRANSFORMS) == 8
    assert codes[0] == hasher.hash([picture])[0].code
    for variant, expected in zip(dihedral(picture), codes, strict=True):
        assert hasher.hash([variant])[0].code == expected
    mirrored = hasher.hash([np.ascontiguousarray(picture[:, ::-1])])[0].code
    assert hamming(codes[TRANSFORMS.index("mirrored")], mirrored) == 0


@pytest.mark.parametrize(
    "picture",
    [
        np.full((200, 300, 3), 128, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 500, 3), 255, np.uint8),
        np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3)),
    ],
    ids=["one colour", "one pixel", "one line", "gradient"],
)
def test_simple_pictures_are_not_usable(hasher: Hasher, picture: RGB) -> None:
    found = hasher.hash([picture])[0]
    assert not found.usable
    assert 0 <= found.quality < 0.5


def test_photographs_are_usable(hasher: Hasher) -> None:
    for found in hasher.hash([data.astronaut(), data.coffee(), data.chelsea()]):
        assert found.usable
        assert 0.5 <= found.quality <= 1


@pytest.mark.parametrize("factor", [3, 5])
def test_a_large_picture_has_nearly_the_code_of_its_small_copy(hasher: Hasher, factor: int) -> None:
    """It is reduced first, so that time and memory do not grow with it."""
    small = data.astronaut()
    large = cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    of_small, of_large = (found.code for found in hasher.hash([small, large]))
    assert hamming(of_small, of_large) <= hasher.length // 32
    assert hasher.hash_dihedral(large)[0] == of_large


def test_pictures_of_ordinary_size_are_hashed_as_they_are() -> None:
    picture = np.zeros((1023, 700, 3), np.uint8)
    assert reduced(picture) is picture
    assert reduced(np.zeros((1024, 700, 3), np.uint8)).shape == (512, 350, 3)
    assert reduced(np.zeros((8000, 10_000, 3), np.uint8)).shape == (422, 527, 3)
    assert reduced(np.zeros((9000, 130, 3), np.uint8)).shape == (4500, 65, 3)
