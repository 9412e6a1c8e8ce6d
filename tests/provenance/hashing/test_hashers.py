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
from provenance.hashing.dinohash import DinoHash
from provenance.hashing.hasher import HASHERS, RETIRED, Hasher
from provenance.hashing.reduce import reduced
from provenance.images.decode import decode, encode_jpeg
from tests.provenance.hashing.pictures import synthetic

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
RGB = npt.NDArray[np.uint8]


# An algorithm that nothing new is hashed by still has to find what was.
ALL = {**HASHERS, **{algorithm: retired.hasher for algorithm, retired in RETIRED.items()}}


@pytest.fixture(params=ALL)
def hasher(request: pytest.FixtureRequest) -> Hasher:
    return ALL[request.param]


def test_vectors_are_kept(hasher: Hasher) -> None:
    """A picture too simple to fingerprint has no code worth freezing: rounding alone decides on its bits."""
    vectors = json.loads((VECTORS / f"{hasher.algorithm}.json").read_text())
    pictures = synthetic()
    assert vectors["length"] == hasher.length
    assert list(vectors["pictures"]) == list(pictures)
    for name, expected in vectors["pictures"].items():
        (found,) = hasher.hash([pictures[name]])
        assert found.usable == expected["usable"], name
        assert found.quality == pytest.approx(expected["quality"], abs=1e-6), name
        if found.usable:
            assert [code.hex for code in hasher.hash_dihedral(pictures[name])] == expected["dihedral"], name
            assert found.code.hex == expected["dihedral"][0], name


def test_a_batch_gives_what_its_pictures_give(hasher: Hasher) -> None:
    pictures = list(synthetic().values())
    assert hasher.hash(pictures) == [hasher.hash([picture])[0] for picture in pictures]
    assert hasher.hash([]) == []


def test_views_and_copies_have_one_code(hasher: Hasher) -> None:
    """Pictures come sliced and turned; how their pixels lie in memory is none of a hash's business."""
    picture = data.astronaut()
    for view in (picture[::-1, ::2], np.asfortranarray(picture), picture[:, ::-1]):
        assert hasher.hash([view]) == hasher.hash([np.ascontiguousarray(view)])


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
        # A network's square is turned after it was scaled, which rounds a few pixels the other way.
        assert hamming(hasher.hash([variant])[0].code, expected) <= (2 if isinstance(hasher, DinoHash) else 0)


def smooth(kind: str) -> RGB:
    y, x = np.mgrid[0:256, 0:320]
    if kind == "slanting ramp":
        values = (x + 2 * y) / 3.3
    elif kind == "ring ramp":
        values = np.hypot(x - 40, y - 200) / 1.4
    elif kind == "vignette":
        values = 255 * np.exp(-((x - 160) ** 2 + (y - 128) ** 2) / 300**2)
    else:
        values = 128 + np.random.default_rng(1).normal(0, 2, x.shape)
    return np.rint(values).clip(0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)


@pytest.mark.parametrize("kind", ["slanting ramp", "ring ramp", "vignette", "faint noise"])
def test_smooth_pictures_are_too_simple(hasher: Hasher, kind: str) -> None:
    for picture in (smooth(kind), decode(encode_jpeg(smooth(kind), quality=85)).pixels):
        (found,) = hasher.hash([picture])
        assert not found.usable
        assert 0 <= found.quality < 0.75


def test_photographs_are_usable(hasher: Hasher) -> None:
    for found in hasher.hash([data.astronaut(), data.coffee(), data.chelsea()]):
        assert found.usable
        assert 0.75 <= found.quality <= 1


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
