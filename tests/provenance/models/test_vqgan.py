"""The published VQGAN against its authors' code: names, shapes and numbers, from a checkpoint of the real format."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from provenance.models.errors import ModelCorrupt
from provenance.models.vqgan import CODES, DIM, STRIDE, VQGAN, load_vqgan
from tests.provenance.models.published import (
    VQGAN_VECTORS,
    probe_codes,
    probe_pixels,
    random_weights,
    read,
    sample,
    save_as_lightning,
)

VECTORS = read(VQGAN_VECTORS)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return random_weights(VECTORS["shapes"])


@pytest.fixture(scope="module")
def checkpoint(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("vqgan") / "last.ckpt"
    save_as_lightning(weights, file)
    yield file
    file.unlink()


@pytest.fixture(scope="module")
def vqgan(checkpoint: Path) -> VQGAN:
    return load_vqgan(checkpoint)


def empty(**changes: list[int] | None) -> dict[str, Tensor]:
    """Return the model's tensors without content, one number each, some changed or left out."""
    shapes = {**VECTORS["shapes"], **{key.replace("__", "."): shape for key, shape in changes.items()}}
    return {key: torch.zeros(1).expand(shape) for key, shape in shapes.items() if shape is not None}


def test_keys_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        ours = {key: list(tensor.shape) for key, tensor in VQGAN().state_dict().items()}
    assert ours == VECTORS["shapes"]


def test_a_checkpoint_of_lightning_is_loaded_whole(vqgan: VQGAN, weights: dict[str, Tensor]) -> None:
    assert not vqgan.training
    for key, tensor in vqgan.state_dict().items():
        assert torch.equal(tensor, weights[key]), key
        assert tensor.dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in vqgan.parameters())
    assert "pytorch_lightning" not in sys.modules


@torch.no_grad()
def test_the_same_weights_give_the_authors_numbers(vqgan: VQGAN) -> None:
    latent = vqgan.encode(probe_pixels(32))
    assert latent.shape == (1, DIM, 2, 2)
    torch.testing.assert_close(sample(latent), VECTORS["encode"], rtol=1e-3, atol=1e-4)
    assert vqgan.quantize.nearest(latent).flatten().tolist() == VECTORS["codes"]
    made = vqgan.reconstruct(probe_pixels(32))
    assert made.shape == (1, 3, 32, 32)
    torch.testing.assert_close(sample(made), VECTORS["reconstruct"], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_codes_are_decoded_to_64_pixels_a_side(vqgan: VQGAN) -> None:
    latent = vqgan.quantize.look_up(probe_codes())
    assert torch.equal(vqgan.quantize.nearest(latent), probe_codes())
    pixels = vqgan.decode(latent)
    assert pixels.shape == (1, 3, 4 * STRIDE, 4 * STRIDE)
    torch.testing.assert_close(sample(pixels), VECTORS["decode"], rtol=1e-3, atol=1e-4)


def test_the_picture_follows_the_latent(vqgan: VQGAN) -> None:
    latent = vqgan.quantize.look_up(probe_codes()[:, :1, :1]).requires_grad_()
    vqgan.decode(latent).square().mean().backward()
    assert latent.grad is not None
    assert torch.isfinite(latent.grad).all()
    assert latent.grad.abs().sum() > 0


def test_only_convolutions_norms_and_the_codebook_have_weights() -> None:
    with torch.device("meta"):
        owners = {type(module) for module in VQGAN().modules() if list(module.parameters(recurse=False))}
    assert owners == {nn.Conv2d, nn.GroupNorm, nn.Embedding}


def test_safetensors_are_loaded_too(weights: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "vqgan.safetensors"
    save_file({key: tensor.half() for key, tensor in weights.items()}, file)
    loaded = load_vqgan(file).state_dict()
    file.unlink()
    assert torch.equal(loaded["decoder.conv_in.weight"], weights["decoder.conv_in.weight"])


def test_missing_misshapen_and_unexpected_keys_are_named(tmp_path: Path) -> None:
    file = tmp_path / "other.ckpt"
    wrong = {"quantize__embedding__weight": [1024, DIM], "decoder__conv_in__bias": None, "decoder__extra": [1]}
    torch.save({"state_dict": empty(**wrong)}, file)
    with pytest.raises(ModelCorrupt) as caught:
        load_vqgan(file)
    assert str(caught.value) == (
        f"{file} is not a good vqgan-f16-16384: missing: decoder.conv_in.bias; of another shape:"
        f" quantize.embedding.weight (1024 x {DIM} instead of {CODES} x {DIM}); unexpected: decoder.extra."
    )


def test_many_faults_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "none.ckpt"
    torch.save({"state_dict": {}}, file)
    with pytest.raises(ModelCorrupt, match=rf"and {len(VECTORS['shapes']) - 3} more"):
        load_vqgan(file)


class Malicious:
    """Unpickled by Python's own loader, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return subprocess.check_call, (["touch", str(self.target)],)


@pytest.mark.parametrize("beside", [True, False], ids=["beside the weights", "instead of them"])
def test_a_checkpoint_runs_nothing(tmp_path: Path, beside: bool) -> None:
    target, file = tmp_path / "touched", tmp_path / "bad.ckpt"
    bad = Malicious(target)
    torch.save({"state_dict": empty(), "callbacks": bad} if beside else bad, file)
    if beside:
        load_vqgan(file)
    else:
        with pytest.raises(ModelCorrupt, match="does not hold tensors"):
            load_vqgan(file)
    assert not target.exists()
    # The file is as bad as it was meant to be.
    torch.load(file, weights_only=False)
    assert target.exists()


def content(kind: str, whole: Path) -> bytes:
    return {
        "empty": lambda: b"",
        "page": lambda: b"<!doctype html><title>Not here</title>" * 99,
        "cut": lambda: whole.read_bytes()[:-40_000],
        "pickle": lambda: pickle.dumps({"state_dict": {}}),
    }[kind]()


@pytest.mark.parametrize("kind", ["empty", "page", "cut", "pickle"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str) -> None:
    whole, file = tmp_path / "whole.ckpt", tmp_path / "last.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(50_000)}}, whole)
    file.write_bytes(content(kind, whole))
    with pytest.raises(ModelCorrupt, match="neither safetensors nor a whole file of PyTorch"):
        load_vqgan(file)


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(file)
    with pytest.raises(ModelCorrupt, match="torchscript"):
        load_vqgan(file)
