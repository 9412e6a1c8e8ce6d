from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from provenance.models.errors import ModelMissing
from provenance.models.paper_signature_nets import ResNet34, ResNetConfig, UNet, UNetConfig
from provenance.models.small_gan import GanConfig
from provenance.training import secured_generator as recipe
from provenance.training import secured_makers
from provenance.training.secured_generator import Securing, recipe_of
from provenance.training.signature_pictures import Squares
from provenance.watermark import paper

NET = UNetConfig(8, (1, 2), blocks=1, attention=(), head=8, groups=4, dropout=0.0)
TINY = paper.Profile(16, NET, ResNetConfig(4, small=True))


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(paper.PROFILES, "small", TINY)
    monkeypatch.setattr(secured_makers, "GanConfig", lambda *_: GanConfig(16, latent=8, mapping=1, channels=4, most=8))
    monkeypatch.setattr(secured_makers, "UNetConfig", lambda *_, **__: NET)
    monkeypatch.setattr(recipe, "LOOKED", 4)


@pytest.fixture
def signature(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "n2.safetensors"
    paper.save(path, UNet(NET, 2), ResNet34(TINY.detector, 2), {})
    return path


@pytest.fixture(scope="module")
def squares() -> Squares:
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (60, 6, 6, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    return Squares([f"{n}.png" for n in range(60)], pixels)


def _securing(kind: str, phase: str, signature: Path, xi: float = 1.0, code: tuple[int, ...] = (1, 0)) -> Securing:
    numbers = replace(recipe_of(kind, phase, "small", code, xi), batch=2)
    return Securing(numbers, paper.load_injector(signature), paper.load_detector(signature))


@pytest.mark.parametrize("kind", recipe.KINDS)
def test_securing_changes_the_generator_and_nothing_else(kind: str, signature: Path, tmp_path: Path) -> None:
    pixels = paper.to_pixels(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8))
    whole = _securing(kind, "secured", signature)
    before = [tensor.clone() for net in (whole.injector, whole.detector) for tensor in net.state_dict().values()]
    made = whole.make(paper.to_pictures(pixels), 5)
    for _ in range(2):
        whole.advance(pixels)
    after = [tensor for net in (whole.injector, whole.detector) for tensor in net.state_dict().values()]
    assert all(map(torch.equal, before, after))
    assert made.shape == (2, 16, 16, 3)
    assert not np.array_equal(made, whole.make(paper.to_pictures(pixels), 5))
    # Killed after a step it ends in the same bytes.
    first = _securing(kind, "secured", signature)
    first.advance(pixels)
    first.save(tmp_path / "state.pt")
    second = _securing(kind, "secured", signature)
    second.resume(tmp_path / "state.pt")
    second.advance(pixels)
    for key, tensor in whole.maker.nets.state_dict().items():
        assert torch.equal(tensor, second.maker.nets.state_dict()[key]), key
    # The control has the same draws and other pictures.
    control = _securing(kind, "control", signature)
    losses = control.advance(pixels)
    assert "guide" not in losses
    with pytest.raises(ValueError, match="other numbers"):
        control.resume(tmp_path / "state.pt")


def test_the_detectors_loss_alone_makes_a_generator_sign(signature: Path) -> None:
    securing = _securing("gan", "secured", signature, xi=50.0)
    pixels = paper.to_pixels(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8))
    losses = [securing.advance(pixels)["guide"] for _ in range(20)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_the_phases_in_their_order(signature: Path, squares: Squares, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="--phases base"):
        recipe.started(tmp_path, recipe_of("gan", "secured", "small", (0, 1)), signature)
    for phase in recipe.PHASES:
        numbers = replace(recipe_of("gan", phase, "small", (0, 1)), steps=2, batch=3)
        assert not recipe.train(tmp_path, recipe.started(tmp_path, numbers, signature), [squares], minutes=0)
        assert recipe.train(tmp_path, recipe.started(tmp_path, numbers, signature), [squares])
        told = json.loads((tmp_path / f"gan-{phase}.json").read_text())
        assert [row["step"] for row in told["history"]] == ([0] if phase == "base" else [0, 2])
        assert bool(told["recipe"]["signature"]) == (phase in ("secured", "survival"))


def test_a_code_that_the_signature_does_not_have_is_refused(signature: Path) -> None:
    with pytest.raises(ValueError, match="code must be one of"):
        _securing("gan", "base", signature, code=(1,))
