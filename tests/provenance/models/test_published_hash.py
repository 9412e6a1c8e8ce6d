"""The published hashes from the model store: real formats, random weights, and what is said when a file is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from provenance.models import store
from provenance.models.catalogue import MODELS
from provenance.models.dinohash import PUBLISHED, load_published
from provenance.models.errors import ModelCorrupt, ModelMissing
from tests.provenance.models.dinov2 import components_of, mean_of, put_published

ALGORITHM = "dinohash-vits-v1"
MADE = PUBLISHED[ALGORITHM]
AS_LISTED = MODELS[MADE.backbone.name]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVENANCE_MODELS", str(folder))
        for name in MADE.models:
            patch.setitem(MODELS, name, replace(MODELS[name], sha256=None))
        yield put_published(ALGORITHM, folder)
    for file in folder.iterdir():
        file.unlink()


@pytest.fixture
def restored(files: list[Path]) -> Iterator[list[Path]]:
    """The files, to be spoilt: they and their digests are put right afterwards."""
    kept = [file.read_bytes() for file in files[1:]]
    for file in files[1:]:
        file.with_name(f"{file.name}.sha256").unlink(missing_ok=True)
    yield files
    for file, content in zip(files[1:], kept, strict=True):
        file.write_bytes(content)
        file.with_name(f"{file.name}.sha256").unlink(missing_ok=True)


def test_a_net_of_its_files(files: list[Path]) -> None:
    net = load_published(ALGORITHM)
    assert (net.side, net.width, net.bits) == (224, 384, 96)
    assert np.array_equal(net.centre.numpy(), mean_of(ALGORITHM)[0])
    assert np.array_equal(net.components.numpy(), components_of(ALGORITHM))
    torch.testing.assert_close(net.pixel_mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(net.pixel_std.flatten(), torch.tensor([0.229, 0.224, 0.225]))
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_another_backbone_file_can_be_named(files: list[Path], tmp_path: Path) -> None:
    weights = torch.load(files[0], weights_only=True)
    weights["norm.bias"] = weights["norm.bias"] + 1
    torch.save(weights, tmp_path / "robust.pth")
    plain, robust = load_published(ALGORITHM), load_published(ALGORITHM, tmp_path / "robust.pth")
    pixels = torch.full((1, 3, 224, 224), 0.5)
    with torch.no_grad():
        torch.testing.assert_close(robust.features(pixels), plain.features(pixels) + 1)


def test_of_more_components_the_first_are_used(restored: list[Path]) -> None:
    every = np.linalg.qr(np.random.default_rng(0).standard_normal((384, 384)))[0]
    np.save(restored[2], every)
    assert np.array_equal(load_published(ALGORITHM).components.numpy(), every[:96].astype(np.float32))


def _scaled() -> npt.NDArray[np.float32]:
    return components_of(ALGORITHM) * 2


def _not_finite() -> npt.NDArray[np.float32]:
    rows = components_of(ALGORITHM)
    rows[3, 7] = np.nan
    return rows


@pytest.mark.parametrize(
    ("place", "content", "words"),
    [
        (1, lambda: np.zeros((1, 768), np.float32), "its shape is 1 x 768, and 1 x 384 is right"),
        (1, lambda: np.zeros(384, np.int64), "finite numbers"),
        (2, lambda: components_of(ALGORITHM)[:95], "its shape is 95 x 384, and 96 to 384 rows of 384 are right"),
        (2, lambda: components_of(ALGORITHM).T, "its shape is 384 x 96"),
        (2, _scaled, "not orthonormal"),
        (2, _not_finite, "finite numbers"),
        (2, lambda: np.array([{"rows": 1}], object), "NumPy cannot read it"),
    ],
)
def test_wrong_arrays_are_refused(
    restored: list[Path], place: int, content: Callable[[], npt.NDArray[np.generic]], words: str
) -> None:
    np.save(restored[place], content(), allow_pickle=True)
    with pytest.raises(ModelCorrupt, match=words) as refused:
        load_published(ALGORITHM)
    assert refused.value.name == MADE.models[place]


def test_a_file_that_is_no_array_is_refused(restored: list[Path]) -> None:
    restored[1].write_bytes(b"<html>Not found</html>")
    with pytest.raises(ModelCorrupt, match="dinohash-vit-s-mean: NumPy cannot read it"):
        load_published(ALGORITHM)


def test_missing_files_name_the_command_that_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVENANCE_MODELS", str(tmp_path))
    for made in PUBLISHED.values():
        for name in made.models:
            assert not store.get(name).shipped
        with pytest.raises(ModelMissing) as missing:
            load_published(made.algorithm)
        assert missing.value.command == f"provenance models pull {' '.join(made.models)}"
        assert missing.value.command in str(missing.value)
    put_published(ALGORITHM, tmp_path)[1].unlink()
    with pytest.raises(ModelMissing) as missing:
        load_published(ALGORITHM)
    assert missing.value.command == f"provenance models pull {MADE.mean}"


def test_the_published_digests_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights under the real name are not taken for the real ones."""
    monkeypatch.setenv("PROVENANCE_MODELS", str(tmp_path))
    monkeypatch.setitem(MODELS, AS_LISTED.name, AS_LISTED)
    put_published(ALGORITHM, tmp_path)
    with pytest.raises(ModelCorrupt, match=r"f433177089a6.*is right"):
        load_published(ALGORITHM)
