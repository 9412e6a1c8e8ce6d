"""DINOv2 with registers against its authors' code: names, shapes and numbers, from weights in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from provenance.models.dinov2 import SIDE, VIT_B, VIT_S, DinoV2, load_dinov2
from provenance.models.errors import ModelCorrupt
from tests.provenance.models.dinov2 import DINOV2_VECTORS, dinov2_weights, probe
from tests.provenance.models.published import read, sample


def save(shapes: dict[str, list[int]], file: Path) -> dict[str, Tensor]:
    weights = dinov2_weights(shapes)
    torch.save(weights, file)
    return weights


@pytest.mark.parametrize("size", [VIT_S, VIT_B], ids=lambda size: size.name)
def test_features_are_those_of_the_authors_code(size: DinoV2, tmp_path: Path) -> None:
    vectors, file = read(DINOV2_VECTORS[size]), tmp_path / "dinov2.pth"
    save(vectors["shapes"], file)
    net = load_dinov2(size, file)
    file.unlink()
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    with torch.no_grad():
        found = net(probe())
    assert found.shape == (2, size.width)
    assert found.dtype == torch.float32
    for row, expected in zip(found, vectors["cls"], strict=True):
        torch.testing.assert_close(sample(row), expected, rtol=1e-3, atol=2e-4)


def test_published_shapes() -> None:
    for size in (VIT_S, VIT_B):
        shapes = read(DINOV2_VECTORS[size])["shapes"]
        assert shapes["pos_embed"] == [1, 1370, size.width]
        assert shapes["register_tokens"] == [1, 4, size.width]
        assert len(shapes) == 8 + 12 * 14
    assert SIDE == 224


def test_gradients_reach_the_pixels(tmp_path: Path) -> None:
    file = tmp_path / "dinov2.pth"
    save(read(DINOV2_VECTORS[VIT_S])["shapes"], file)
    pixels = probe()[:1].requires_grad_()
    load_dinov2(VIT_S, file)(pixels).square().sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0


def test_another_model_is_refused_by_its_own_names(tmp_path: Path) -> None:
    file, shapes = tmp_path / "dinov2.pth", read(DINOV2_VECTORS[VIT_S])["shapes"]
    without = {key: shape for key, shape in shapes.items() if key != "register_tokens"} | {
        "pos_embed": [1, 257, 384],
        "head.weight": [1000, 384],
    }
    torch.save({key: torch.zeros(()).expand(shape) for key, shape in without.items()}, file)
    with pytest.raises(ModelCorrupt) as refused:
        load_dinov2(VIT_S, file)
    words = str(refused.value)
    assert "missing: register_tokens" in words
    assert "pos_embed (1 x 257 x 384 instead of 1 x 1370 x 384)" in words
    assert "unexpected: head.weight" in words
