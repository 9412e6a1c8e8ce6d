"""CLIP ViT-B/32 against OpenAI's code: names, shapes and numbers, from weights in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from provenance.models.clip import EMBEDDING, SIDE, Clip, load_clip, normalise
from provenance.models.errors import ModelCorrupt
from tests.provenance.models.published import CLIP_VECTORS, TEXTS, probe_pixels, random_weights, read, sample

VECTORS = read(CLIP_VECTORS)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    # Half the memory, and what OpenAI's own weights are.
    return {key: tensor.half() for key, tensor in random_weights(VECTORS["shapes"]).items()}


@pytest.fixture(scope="module")
def clip(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clip]:
    file = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    save_file(weights, file)
    yield load_clip(file)
    file.unlink()


def test_keys_shapes_and_weights_are_those_of_the_file(clip: Clip, weights: dict[str, Tensor]) -> None:
    image = clip.image.state_dict()
    assert {f"visual.{key}" for key in image} == {key for key in weights if key.startswith("visual.")}
    for key, tensor in image.items():
        assert list(tensor.shape) == VECTORS["shapes"][f"visual.{key}"]
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, weights[f"visual.{key}"].float()), key
    assert not clip.image.training
    assert not any(parameter.requires_grad for parameter in clip.image.parameters())


def test_texts_are_embedded_as_openai_does(clip: Clip) -> None:
    found = clip.embed_text(TEXTS)
    assert found.shape == (len(TEXTS), EMBEDDING)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(TEXTS)))
    torch.testing.assert_close(sample(found), VECTORS["text"], rtol=1e-3, atol=1e-5)
    assert clip.embed_text([]).shape == (0, EMBEDDING)


def test_a_long_text_is_cut_not_refused(clip: Clip) -> None:
    fitting, long = clip.embed_text(["sea " * 75, "sea " * 300])
    torch.testing.assert_close(fitting, long)


def test_pictures_are_embedded_as_openai_does(clip: Clip) -> None:
    pixels = probe_pixels(SIDE).requires_grad_()
    found = clip.image(pixels)
    assert found.shape == (1, EMBEDDING)
    torch.testing.assert_close(sample(normalize(found)), VECTORS["image"], rtol=1e-3, atol=1e-5)
    found.square().sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0


def test_pixels_are_normalised_channel_by_channel() -> None:
    means = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    assert torch.allclose(normalise(means), torch.zeros(1, 3, 1, 1))
    white = normalise(torch.ones(1, 3, 1, 1)).flatten().tolist()
    assert white == pytest.approx([1.930336, 2.074883, 2.145897], abs=1e-5)


def test_another_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pt"
    shapes = VECTORS["shapes"] | {"visual.conv1.weight": [768, 3, 16, 16]}
    torch.save({key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}, file)
    with pytest.raises(ModelCorrupt, match=r"visual\.conv1\.weight \(768 x 3 x 16 x 16 instead of 768 x 3 x 32 x 32\)"):
        load_clip(file)
