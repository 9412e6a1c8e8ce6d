"""The towers of DFN5B and SigLIP: their shapes, and the loading of a smaller one of each family from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from provenance.detection.tower import PublishedTower
from provenance.models.catalogue import MODELS, Pin
from provenance.models.errors import ModelCorrupt
from provenance.models.torch_runtime import prepare
from provenance.models.vision_towers import TOWERS, VisionTower, load_tower, new_tower
from tests.provenance.models.published import random_weights

# As the DinoHash paper's table of detectors has them; millions of parameters.
FULL = {
    "dfn5b-vit-h-14-378": (378, 1280, 633),
    "dfn5b-vit-h-14": (224, 1280, 632),
    "siglip-so400m-14-384": (384, 1152, 428),
    "siglip-so400m-14": (224, 1152, 428),
}


@pytest.fixture(scope="module")
def small_dfn5b(tmp_path_factory: pytest.TempPathFactory) -> VisionTower:
    """Register DFN5B's architecture with two narrow layers."""
    prepare()
    import open_clip

    config = open_clip.get_model_config("ViT-H-14-378-quickgelu")
    config["embed_dim"] = 24
    config["vision_cfg"] |= {"image_size": 56, "layers": 2, "width": 80, "head_width": 40}
    config["text_cfg"] |= {"width": 16, "heads": 2, "layers": 1, "vocab_size": 50}
    file = tmp_path_factory.mktemp("configs") / "small-dfn5b.json"
    file.write_text(json.dumps(config))
    open_clip.add_model_config(file)
    return VisionTower("dfn5b-vit-h-14-378", "small-dfn5b", 56, 80)


def both_towers(tower: VisionTower) -> dict[str, Tensor]:
    """Return random weights under the names of a file of both towers."""
    shapes = {f"visual.{key}": list(tensor.shape) for key, tensor in new_tower(tower).state_dict().items()}
    return random_weights(shapes | {"logit_scale": [], "token_embedding.weight": [50, 16]})


@pytest.mark.parametrize("name", TOWERS)
def test_the_published_towers_have_their_shapes(name: str) -> None:
    tower = TOWERS[name]
    side, width, millions = FULL[name]
    assert (tower.side, tower.width) == (side, width)
    net = new_tower(tower)
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e6) == millions
    if hasattr(net, "proj"):
        net.proj = None
    with torch.device("meta"):
        assert net(torch.empty(2, 3, side, side, device="meta")).shape == (2, width)
    assert MODELS[name].pin is Pin.FIRST_USE, "nobody publishes a digest of it"


def test_it_works(small_dfn5b: VisionTower, tmp_path: Path) -> None:
    """Features come before the projection, as the paper takes them: with it they would be 24."""
    file, weights = tmp_path / "dfn5b.bin", both_towers(small_dfn5b)
    torch.save(weights, file)
    net = load_tower(small_dfn5b, file)
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, weights[f"visual.{key}"]), key
    pixels = torch.rand(2, 3, 56, 56, requires_grad=True)
    tower = PublishedTower(small_dfn5b, net)
    features = tower(pixels)
    assert features.shape == (2, 80)
    normalised = (pixels - tower.mean) / tower.std
    torch.testing.assert_close(net(normalised), features)
    features.square().sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0


def test_quick_gelu_is_the_activation(small_dfn5b: VisionTower) -> None:
    activation = new_tower(small_dfn5b).transformer.resblocks[0].mlp.gelu
    with torch.device("cpu"):
        x = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(activation(x), x * torch.sigmoid(1.702 * x))


def test_siglips_family_is_loaded_through_timm(tmp_path: Path) -> None:
    tower = VisionTower("siglip-so400m-14", "ViT-B-16-SigLIP", 224, 768, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    # One number a tensor keeps the file small.
    weights = {
        f"visual.{key}": torch.tensor(0.01 * number).expand(tensor.shape)
        for number, (key, tensor) in enumerate(new_tower(tower).state_dict().items())
    }
    file = tmp_path / "siglip.bin"
    torch.save(weights, file)
    net = load_tower(tower, file)
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, weights[f"visual.{key}"]), key
    with torch.no_grad():
        assert net(torch.rand(1, 3, 224, 224)).shape == (1, 768)


def test_another_model_is_refused_by_its_own_names(small_dfn5b: VisionTower, tmp_path: Path) -> None:
    file, weights = tmp_path / "other.bin", both_towers(small_dfn5b)
    weights["visual.proj"] = torch.zeros(80, 8)
    del weights["visual.conv1.weight"]
    torch.save(weights, file)
    with pytest.raises(ModelCorrupt) as refused:
        load_tower(small_dfn5b, file)
    assert "missing: conv1.weight" in str(refused.value)
    assert "proj (80 x 8 instead of 80 x 24)" in str(refused.value)
