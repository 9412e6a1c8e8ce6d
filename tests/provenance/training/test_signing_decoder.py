"""The artworks' decoder learns to sign while it decodes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from provenance.artwork.tiers import load_small_vqgan
from provenance.models.errors import ModelCorrupt
from provenance.models.signing_decoder import SigningDecoder
from provenance.training import signing_decoder as recipe
from provenance.training.signing_decoder import Recipe, Training
from provenance.watermark.networks import networks

SMALL = Recipe(steps=2, batch=1, windows=((128, 48), (256, 96)), target=64, warm_up=1)


@pytest.fixture(scope="module")
def pictures() -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(2).integers(0, 256, (3, 26, 26, 3), np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def test_before_training_it_decodes_what_the_decoder_does_and_adds_nothing() -> None:
    vqgan = load_small_vqgan()
    codes = torch.from_numpy(np.random.default_rng(1).integers(0, 1024, (1, 2, 4, 4)))
    with torch.no_grad():
        plain, change = SigningDecoder(vqgan.decoder)(vqgan.look_up(codes), torch.randn(1, 1, 32, 32))
        assert torch.equal(plain, vqgan.decode(codes))
    assert not change.any()


def test_only_the_head_learns(pictures: npt.NDArray[np.uint8]) -> None:
    training = Training(SMALL)
    still = (training.vqgan, training.injector, training.detector)
    before = [tensor.clone() for net in still for tensor in net.state_dict().values()]
    # Nothing is signed yet: as far from the injector's change as nothing is.
    assert training.advance(pictures)["likeness"] == pytest.approx(1, abs=1e-5)
    for _ in range(3):
        training.advance(pictures)
    assert all(map(torch.equal, before, [t for net in still for t in net.state_dict().values()]))
    # From the last layer on, zero at first, the gradient has come to the first.
    assert all(p.grad is not None and p.grad.any() for p in training.net.head.parameters())
    # The process's own networks stay where they are.
    assert training.detector is not networks()[1]


def test_it_comes_nearer_to_what_signing_would_add(pictures: npt.NDArray[np.uint8]) -> None:
    training = Training(Recipe(steps=40, batch=1, windows=((256, 64),), target=64, warm_up=5))
    found = [training.advance(pictures)["likeness"] for _ in range(40)]
    assert np.mean(found[-5:]) < 0.9


def test_a_training_that_was_stopped_and_killed_ends_as_one_that_was_not(
    pictures: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "load", lambda _: pictures)
    monkeypatch.setattr(recipe, "_REPORT", 1)
    ends = []
    for folder, minutes in (("whole", math.inf), ("parts", 0.0)):
        work = tmp_path / folder
        work.mkdir()
        first = Training(SMALL)
        if not minutes:
            first.advance(pictures)
            first.curve.append({"step": 1, "error": 0.0})
            first.save(work / "signing-decoder.pt")
            assert not recipe.train(work, first, minutes)
            first = Training(SMALL)
            first.resume(work / "signing-decoder.pt")
        assert recipe.train(work, first)
        net, told = recipe.trained(work / "signing-decoder.safetensors")
        ends.append(net.head.state_dict())
        assert [line["step"] for line in told["curve"]] == [1, 2]
    assert all(torch.equal(ends[1][name], tensor) for name, tensor in ends[0].items())


def test_what_is_no_checkpoint_and_no_head_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(SMALL)
    for content in (b"", b"text", b"PK\x03\x04"):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ModelCorrupt, match="no checkpoint"):
            training.resume(tmp_path / "bad")
        with pytest.raises(ModelCorrupt):
            recipe.trained(tmp_path / "bad")
    training.save(tmp_path / "good")
    with pytest.raises(ValueError, match="other numbers"):
        Training(Recipe(steps=3)).resume(tmp_path / "good")
    head = training.net.head.state_dict()
    save_file(head, tmp_path / "bad", {})
    with pytest.raises(ModelCorrupt, match="how it was trained"):
        recipe.trained(tmp_path / "bad")
    save_file(head, tmp_path / "bad", {"training": training.told})
    assert recipe.trained(tmp_path / "bad")[1]["recipe"]["steps"] == 2
    monkeypatch.setattr(recipe, "weights", lambda: {"signature": "another"})
    with pytest.raises(ModelCorrupt, match="other weights"):
        recipe.trained(tmp_path / "bad")
