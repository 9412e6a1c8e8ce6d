"""The artworks' decoder learns to sign while it decodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file

from provenance.artwork.tiers import load_small_vqgan
from provenance.models.signing_decoder import SigningDecoder
from provenance.training import signing_decoder as recipe
from provenance.training.signing_decoder import Recipe, Training

CPU = torch.device("cpu")
SMALL = Recipe(steps=2, batch=1, sides=(128, 256), source=96, target=64, warm_up=1)


@pytest.fixture(scope="module")
def pictures() -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(2).integers(0, 256, (3, 26, 26, 3), np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def test_before_training_it_decodes_what_the_decoder_does() -> None:
    vqgan = load_small_vqgan()
    codes = torch.from_numpy(np.random.default_rng(1).integers(0, 1024, (1, 2, 4, 4)))
    latent, pattern = vqgan.look_up(codes), torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(SigningDecoder(vqgan.decoder)(latent, pattern), vqgan.decoder(latent))


def test_only_the_head_learns(pictures: npt.NDArray[np.uint8]) -> None:
    training = Training(SMALL, CPU)
    still = (training.vqgan, training.injector, training.detector)
    before = [tensor.clone() for net in still for tensor in net.state_dict().values()]
    head = [parameter.clone() for parameter in training.net.head.parameters()]
    first = training.advance(pictures)
    # Nothing is signed yet: as far from the injector's change as nothing is.
    assert first["likeness"] == pytest.approx(1, abs=1e-5)
    training.advance(pictures)
    assert all(map(torch.equal, before, [t for net in still for t in net.state_dict().values()]))
    assert not any(map(torch.equal, head, training.net.head.parameters()))


def test_it_comes_nearer_to_what_signing_would_add(pictures: npt.NDArray[np.uint8]) -> None:
    training = Training(Recipe(steps=40, batch=1, sides=(256,), source=64, target=64, warm_up=5), CPU)
    found = [training.advance(pictures)["likeness"] for _ in range(40)]
    assert np.mean(found[-5:]) < 0.9


def test_a_killed_training_ends_as_one_that_was_not(
    pictures: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "load", lambda _: pictures)
    monkeypatch.setattr(recipe, "_REPORT", 1)
    whole = Training(SMALL, CPU)
    for _ in range(SMALL.steps):
        whole.advance(pictures)
    first = Training(SMALL, CPU)
    first.advance(pictures)
    first.save(tmp_path / "signing-decoder.pt")
    second = Training(SMALL, CPU)
    second.resume(tmp_path / "signing-decoder.pt")
    assert recipe.train(tmp_path, second)
    head = load_file(tmp_path / "signing-decoder.safetensors")
    assert all(torch.equal(head[name], tensor) for name, tensor in whole.net.head.state_dict().items())
    with pytest.raises(ValueError, match="other numbers"):
        Training(Recipe(steps=3), CPU).resume(tmp_path / "signing-decoder.pt")
