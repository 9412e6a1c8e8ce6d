"""DinoHash: the published numbers, bits that do not depend on the machine's mood, files in a pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from provenance.hashing import dinohash
from provenance.hashing.code import Fingerprint, HashCode
from provenance.hashing.dihedral import dihedral
from provenance.hashing.dinohash import BATCH, DinoHash, fragile_bits, published_hashers
from provenance.images.decode import DecodeError, DecodeErrorCode, Limits, encode_jpeg
from provenance.models.catalogue import MODELS
from provenance.models.dinohash import PUBLISHED, load_published
from provenance.models.errors import ModelMissing
from provenance.models.hash_net import HashNet
from tests.provenance.hashing.pictures import synthetic
from tests.provenance.hashing.small_net import BITS, SIDE, small_net
from tests.provenance.models.dinov2 import DINOHASH_VECTORS, put_published
from tests.provenance.models.published import read

VECTORS = read(DINOHASH_VECTORS)["logits"]
# What float32 and another order of sums may change in a logit of the vectors.
TOLERANCE = 2e-3


@pytest.fixture
def hasher() -> DinoHash:
    return DinoHash("small-v1", BITS, small_net)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A local folder of models in which random weights are taken for the published ones."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVENANCE_MODELS", str(folder))
        for name in (made.backbone.name for made in PUBLISHED.values()):
            patch.setitem(MODELS, name, replace(MODELS[name], sha256=None))
        yield folder
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize("algorithm", PUBLISHED)
def test_published_vectors(models: Path, algorithm: str) -> None:
    put_published(algorithm, models)
    hasher, pictures = DinoHash(algorithm, PUBLISHED[algorithm].bits, lambda: load_published(algorithm)), synthetic()
    named = [pictures[name] for name in VECTORS[algorithm]]
    expected = np.array(list(VECTORS[algorithm].values()))
    np.testing.assert_allclose(hasher.logits([hasher.square(picture) for picture in named]), expected, atol=TOLERANCE)
    for fingerprint, logits in zip(hasher.hash(named), expected, strict=True):
        assert fingerprint.code.algorithm == algorithm
        assert len(fingerprint.code.hex) == PUBLISHED[algorithm].bits // 4
        # Component 0 first, and so in the first hex digit's highest bit.
        bits = np.array([int(bit) for bit in fingerprint.code.bitstring()])
        clear = np.abs(logits) > TOLERANCE
        assert clear.mean() > 0.98
        assert np.array_equal(bits[clear], (logits >= 0)[clear])


def test_the_published_ones_are_offered_and_say_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVENANCE_MODELS", str(tmp_path))
    found = published_hashers()
    assert {name: hasher.length for name, hasher in found.items()} == {
        "dinohash-v1": 96,
        "dinohash-v1-512": 512,
        "dinohash-vits-v1": 96,
    }
    assert {name: made.bits for name, made in PUBLISHED.items()} == {name: h.length for name, h in found.items()}
    with pytest.raises(ModelMissing, match="provenance models pull dinov2-vit-b-14-reg"):
        found["dinohash-v1"].hash([data.astronaut()])


def test_pictures_are_resized_as_published(hasher: DinoHash) -> None:
    picture = data.astronaut()[:300, :, :]
    expected = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    assert np.array_equal(hasher.square(picture), np.asarray(expected))
    assert hasher.square(picture[::-1, ::2]).shape == (SIDE, SIDE, 3)


def test_bits_are_the_signs_of_centred_projections(hasher: DinoHash) -> None:
    net, square = small_net(), hasher.square(data.astronaut())
    pixels = torch.tensor(square).permute(2, 0, 1)[None].double() / 255
    with torch.no_grad():
        features = net.double().backbone((pixels - 0.5) / 0.25)
        logits = ((features - net.centre) @ net.components.T)[0].numpy()
    np.testing.assert_allclose(hasher.logits([square])[0], logits, atol=1e-5)
    code = hasher.hash([data.astronaut()])[0].code
    assert code.bitstring() == "".join("1" if value >= 0 else "0" for value in logits)


def test_a_logit_of_zero_is_a_one() -> None:
    def empty() -> HashNet:
        net = small_net()
        net.components = torch.zeros(BITS, net.width)
        return net

    (found,) = DinoHash("zero-v1", BITS, empty).hash([data.astronaut()])
    assert found.code.bitstring() == "1" * BITS
    assert found.code.hex == "f" * (BITS // 4)


def test_leading_zeros_are_kept() -> None:
    def negative() -> HashNet:
        net = small_net()
        net.components = torch.zeros(BITS, net.width)
        net.components[:, 0] = torch.cat([torch.ones(BITS - 1), -torch.ones(1)])
        net.centre = net.centre + 1e6
        return net

    code = DinoHash("low-v1", BITS, negative).hash([data.astronaut()])[0].code
    assert code.hex == "0" * (BITS // 4 - 1) + "1"
    assert code == HashCode.from_hex("low-v1", code.hex)


def test_a_batch_gives_what_its_pictures_give(hasher: DinoHash) -> None:
    pictures = [*synthetic().values(), data.coffee()]
    assert len(pictures) > BATCH
    assert hasher.hash(pictures) == [hasher.hash([picture])[0] for picture in pictures]
    assert hasher.hash([]) == []


def test_variants_are_those_of_the_resized_picture(hasher: DinoHash) -> None:
    picture = data.astronaut()[:400]
    codes = hasher.hash_dihedral(picture)
    assert codes[0] == hasher.hash([picture])[0].code
    squares = dihedral(hasher.square(picture))
    assert codes == [HashCode.from_array("small-v1", row >= 0) for row in hasher.logits(squares)]
    assert len(set(codes)) == 8


def test_what_float32_leaves_open_float64_decides(hasher: DinoHash) -> None:
    """A bit whose logit is nothing but rounding has the sign that exact arithmetic gives it, in any batch."""
    square, other = hasher.square(data.astronaut()), hasher.square(data.coffee())
    pixels = torch.tensor(square).permute(2, 0, 1)[None].double() / 255
    with torch.no_grad():
        features = small_net().double().features(pixels)[0]
    signs = set()
    for column in range(8):
        # Of bit 0 only what rounding the centre to float32 leaves over.
        net = small_net()
        net.centre[column] = features[column].float()
        net.components[0] = torch.eye(net.width)[column]
        left_over = (features[column] - net.centre[column].double()).item()
        assert 0 < abs(left_over) < 1e-6
        near = DinoHash("near-v1", BITS, lambda net=net: net)
        assert fragile_bits(near.logits([square])).tolist() == [1]
        for batch in ([square], [square, *[other] * 5], [*[other] * 15, square]):
            row = near.logits(batch)[[each is square for each in batch]][0]
            assert (row[0] >= 0) == (left_over >= 0)
        signs.add(left_over >= 0)
    assert signs == {True, False}


IN_A_PROCESS = """
from provenance.hashing.dinohash import DinoHash
from tests.provenance.hashing.pictures import synthetic
from tests.provenance.hashing.small_net import BITS, small_net
print(*(found.code.hex for found in DinoHash("small-v1", BITS, small_net).hash([*synthetic().values()])))
"""


@pytest.mark.parametrize(
    "settings",
    [
        {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"},
        {
            "OMP_NUM_THREADS": "1",
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_CBWR": "COMPATIBLE",
        },
    ],
)
def test_bits_are_the_same_on_every_number_of_threads_and_instruction_set(
    hasher: DinoHash, settings: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS],
        env=os.environ | settings,
        cwd=Path(__file__).parents[3],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [found.code.hex for found in hasher.hash([*synthetic().values()])]


def test_fragile_bits_are_counted() -> None:
    logits = np.array([[1.0, -1.0, 1e-6, 0.0], [1.0, -1.0, 1.0, -1.0]])
    assert fragile_bits(logits).tolist() == [2, 0]
    assert fragile_bits(logits, noise=2).tolist() == [4, 4]


def test_simple_pictures_are_not_usable(hasher: DinoHash) -> None:
    pictures = synthetic()
    simple = ["noise", "one colour", "one pixel", "one line", "two by two", "ramp", "slanting ramp", "faint ramp"]
    for name in [*simple, "faint noise", "long and thin"]:
        (found,) = hasher.hash([pictures[name]])
        assert not found.usable, name
        assert found.quality < 0.6, name
    for name in ("waves", "blocks", "tall", "small"):
        assert hasher.hash([pictures[name]])[0].usable, name


def test_the_network_is_loaded_once_and_only_when_asked() -> None:
    calls: list[int] = []

    def load() -> HashNet:
        calls.append(1)
        return small_net()

    hasher = DinoHash("lazy-v1", BITS, load)
    assert calls == []
    threads = [threading.Thread(target=hasher.hash, args=([data.coffee()],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]


def test_a_network_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="has 96 bits"):
        DinoHash("wrong-v1", 96, small_net).hash([data.coffee()])


def test_files_are_hashed_in_order_and_failures_stay_in_place(hasher: DinoHash, tmp_path: Path) -> None:
    pictures = [*synthetic().values()] * 3
    files: list[Path | bytes] = []
    for number, picture in enumerate(pictures):
        if number % 2:
            path = tmp_path / f"{number}.png"
            Image.fromarray(picture).save(path)
            files.append(path)
        else:
            files.append(encode_jpeg(picture))
    files[3], files[8] = tmp_path / "missing.png", b"no picture"
    seen: list[int] = []
    found = list(hasher.hash_files(files, progress=seen.append))
    assert len(found) == len(files) > 2 * BATCH
    assert isinstance(found[3], FileNotFoundError)
    assert isinstance(found[8], DecodeError)
    for number in (1, 5, 47):
        assert found[number] == hasher.hash([pictures[number]])[0]
    assert all(isinstance(each, Fingerprint) for number, each in enumerate(found) if number not in (3, 8))
    assert seen == sorted(seen)
    assert seen[-1] == len(files)
    assert list(hasher.hash_files([])) == []


def test_a_limit_holds_for_files(hasher: DinoHash) -> None:
    (found,) = hasher.hash_files([encode_jpeg(data.coffee())], limits=Limits(max_side=100))
    assert isinstance(found, DecodeError)
    assert found.code is DecodeErrorCode.TOO_MANY_PIXELS


def test_files_are_read_only_a_little_ahead(hasher: DinoHash) -> None:
    """Countless sources do not fill the memory, and whoever stops early stops the reading."""
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        encoded = encode_jpeg(data.coffee())
        while True:
            taken += 1
            yield encoded

    stream = hasher.hash_files(endless())
    first = [next(stream) for _ in range(BATCH + 1)]
    assert all(isinstance(each, Fingerprint) for each in first)
    stream.close()
    assert taken <= 4 * BATCH


def test_decoding_goes_on_while_the_network_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second batch is decoded during the first batch's inference: the network waits for it here, in vain else."""
    decoded: list[int] = []
    ready = threading.Event()
    real = dinohash.decode

    def watched(data: bytes, limits: Limits) -> object:
        decoded.append(1)
        if len(decoded) == 2 * BATCH:
            ready.set()
        return real(data, limits)

    class Waiting(DinoHash):
        def _logits(self, squares: object) -> object:
            assert ready.wait(timeout=30)
            return super()._logits(squares)

    monkeypatch.setattr(dinohash, "decode", watched)
    files = [encode_jpeg(data.coffee())] * (2 * BATCH)
    assert len(list(Waiting("waiting-v1", BITS, small_net).hash_files(files))) == 2 * BATCH
