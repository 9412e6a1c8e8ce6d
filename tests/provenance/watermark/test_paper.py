from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from provenance.models.errors import ModelCorrupt
from provenance.models.paper_signature_nets import ResNet34, ResNetConfig, UNet, UNetConfig
from provenance.watermark import paper

TINY = UNetConfig(8, (1, 2), blocks=1, attention=(2,), head=8, groups=4, dropout=0.0)
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)


def test_every_level_survives_the_way_to_pixels_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert np.array_equal(paper.to_pictures(paper.to_pixels(levels)), levels)
    assert torch.allclose(paper.rounded(paper.to_pixels(levels)), paper.to_pixels(levels), atol=1e-6)


def test_rounding_goes_to_the_nearest_level_and_lets_gradients_through() -> None:
    # Levels 127 and 128 lie half a level on either side of grey.
    pixels = torch.tensor([-1.2, 0.9 / 255, 1.1 / 255 + 1 / 127.5, 1.5], requires_grad=True)
    out = paper.rounded(pixels)
    assert torch.allclose((out + 1) * 127.5, torch.tensor([0.0, 128.0, 129.0, 255.0]), atol=1e-4)
    out.backward(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert pixels.grad is not None
    assert pixels.grad.tolist() == [1, 2, 3, 4]


def test_codes_leave_out_zeros() -> None:
    assert paper.codes(1) == [(1,)]
    assert paper.codes(2) == [(0, 1), (1, 0), (1, 1)]


def test_what_is_saved_signs_and_reads_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    injector, detector = UNet(TINY, 2).eval(), ResNet34(ResNetConfig(4, small=True), 2).eval()
    # What begins as zeros would hide the code.
    for parameter in injector.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    path = tmp_path / "pair.safetensors"
    paper.save(path, injector, detector, {"steps": 3})
    again, reader = paper.load_injector(path), paper.load_detector(path)
    signed = paper.sign(again, PICTURES, (1, 0))
    assert signed.dtype == np.uint8
    assert signed.shape == PICTURES.shape
    assert np.array_equal(signed, paper.sign(injector, PICTURES, (1, 0)))
    assert not np.array_equal(signed, paper.sign(injector, PICTURES, (1, 1)))
    assert paper.read(reader, signed).shape == (3, 2)
    assert np.array_equal(paper.read(reader, signed), paper.read(detector, signed))
    assert paper.training_of(path) == {"steps": 3}


def test_bad_input_is_refused() -> None:
    injector, detector = UNet(TINY, 2).eval(), ResNet34(ResNetConfig(4, small=True), 2).eval()
    with pytest.raises(ValueError, match="code must be one of"):
        paper.sign(injector, PICTURES, (0, 0))
    with pytest.raises(ValueError, match="code must be one of"):
        paper.sign(injector, PICTURES, (1,))
    with pytest.raises(ValueError, match="uint8 pictures"):
        paper.sign(injector, PICTURES.astype(np.float32), (0, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint8 pictures"):
        paper.read(detector, PICTURES[0])


def test_other_files_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"no tensors")
    with pytest.raises(ModelCorrupt, match="no file of signature networks"):
        paper.load_injector(wrong)
    with pytest.raises(ModelCorrupt, match="no file of signature networks"):
        paper.load_detector(tmp_path / "absent.safetensors")
    alone = tmp_path / "restorer.safetensors"
    paper.save(alone, UNet(TINY), None, {})
    paper.load_injector(alone)
    with pytest.raises(ModelCorrupt, match="sizes of a detector"):
        paper.load_detector(alone)
