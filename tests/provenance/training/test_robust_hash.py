"""Adversarial fine-tuning: it helps, it stays where it was, it goes on where it stopped, and one command runs it."""

from __future__ import annotations

import csv
import io
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from provenance.images.decode import encode_jpeg
from provenance.models.copy_net import PLAIN_HASH, new_hash_net
from provenance.models.errors import ModelCorrupt
from provenance.training import robust_hash
from provenance.training.artwork_pictures import ARCHIVES
from provenance.training.pictures import Part, part_of
from provenance.training.robust_hash import Recipe, Training, losses, starting_net, train
from tests.provenance.hashing.small_net import SIDE, small_net

RECIPE = Recipe(steps=40, batch=16, rate=2e-3, warm_up=4, clean_weight=5.0, iterations=4, gain=2.0)


def made_pictures(count: int, side: int) -> Tensor:
    """Return uint8 ``[count, 3, side, side]``: coarse colours, seeded."""
    coarse = torch.rand((count, 3, 4, 4), generator=torch.Generator().manual_seed(3)) * 255
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear").to(torch.uint8)


PICTURES = made_pictures(64, SIDE)
PARTS = {Part.TRAIN: np.arange(48), Part.TUNE: np.arange(48, 64)}


def squares(rows: npt.NDArray[np.int64]) -> Tensor:
    return PICTURES[torch.from_numpy(rows)]


def test_the_attack_turns_fewer_bits_after_training(tmp_path: Path) -> None:
    training, tuning = Training(small_net(), RECIPE), squares(PARTS[Part.TUNE])
    first = training.figures(tuning)
    assert first["clean"] == 1
    assert first["attacked"] == first["attacked before"] < 0.95
    train(training, squares, PARTS, tmp_path, "small")
    last = training.figures(tuning)
    assert last["attacked before"] == first["attacked before"]
    assert last["attacked"] > first["attacked"] + 0.02
    assert last["clean"] > 0.9


def test_the_loss_falls() -> None:
    training = Training(small_net(), RECIPE)
    totals = [a + RECIPE.clean_weight * c for a, c in (training.advance(squares(np.arange(16))) for _ in range(25))]
    assert np.mean(totals[-5:]) < np.mean(totals[:3])


def test_bfloat16_trains_as_well() -> None:
    single, half = (Training(small_net(), replace(RECIPE, half=half)) for half in (False, True))
    for _ in range(3):
        assert half.advance(squares(np.arange(16))) == pytest.approx(single.advance(squares(np.arange(16))), rel=0.1)
    assert all(tensor.dtype != torch.bfloat16 for tensor in half.net.state_dict().values())


def test_only_the_backbones_weights_change() -> None:
    before, training = small_net().state_dict(), Training(small_net(), RECIPE)
    training.advance(squares(np.arange(8)))
    training.advance(squares(np.arange(8)))
    changed = {key for key, tensor in training.net.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed
    assert all(key.startswith("backbone.") and "running" not in key for key in changed)
    for key, tensor in training.frozen.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_the_losses_are_those_of_the_frozen_nets_soft_bits() -> None:
    net, clean = small_net(), squares(np.arange(4)).float() / 255
    attacked = (clean + 0.05).clamp(0, 1)
    frozen = net(clean) * 0.7
    on_attacked, on_clean = losses(net, frozen, clean, attacked, gain=0.5)
    wanted = torch.sigmoid(5 * frozen)
    torch.testing.assert_close(on_clean, binary_cross_entropy_with_logits(5 * net(clean), wanted))
    torch.testing.assert_close(on_attacked, binary_cross_entropy_with_logits(5 * net(attacked), wanted))


def test_the_rate_grows_then_falls_to_nothing() -> None:
    recipe = Recipe()
    assert (recipe.rate_at(0), recipe.rate_at(1399)) == (pytest.approx(1e-4 / 1400), pytest.approx(1e-4))
    assert recipe.rate_at(1400) == pytest.approx(1e-4)
    assert recipe.rate_at((20_000 + 1400) // 2) == pytest.approx(5e-5)
    assert recipe.rate_at(19_999) < 1e-10
    training = Training(small_net(), replace(RECIPE, warm_up=10))
    training.advance(squares(np.arange(4)))
    (group,) = training.optimiser.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (pytest.approx(2e-4), (0.9, 0.95), 1e-4)


def test_an_unset_gain_is_measured_once() -> None:
    training = Training(small_net(), replace(RECIPE, gain=0.0, jitter=True))
    with torch.no_grad():
        size = small_net()(squares(np.arange(8)).float() / 255).square().mean().sqrt()
    training.advance(squares(np.arange(8)))
    assert training.gain == pytest.approx(2 / size.item())
    kept = training.gain
    training.advance(squares(np.arange(8, 16)))
    assert training.gain == kept


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=6)
    whole = Training(small_net(), recipe)
    train(whole, squares, PARTS, tmp_path / "whole", "small")
    parts = Training(small_net(), recipe)
    for _ in range(3):
        rows = np.random.Generator(np.random.Philox(key=parts.step)).choice(48, 16, replace=False)
        parts.advance(squares(rows))
    (tmp_path / "parts").mkdir()
    parts.save(tmp_path / "parts" / "robust-small.pt")
    resumed = Training(small_net(), recipe)
    train(resumed, squares, PARTS, tmp_path / "parts", "small")
    for key, tensor in whole.net.state_dict().items():
        torch.testing.assert_close(resumed.net.state_dict()[key], tensor)
    found = load_file(tmp_path / "parts" / "robust-small.safetensors")
    small_net().load_state_dict(found)
    assert torch.equal(found["components"], small_net().components)


def test_a_run_that_has_no_time_left_stops_and_keeps_its_place(tmp_path: Path) -> None:
    training = Training(small_net(), RECIPE)
    train(training, squares, PARTS, tmp_path, "small", minutes=0)
    assert training.step == 0
    assert (tmp_path / "robust-small.pt").is_file()


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    train(Training(small_net(), replace(RECIPE, steps=1)), squares, PARTS, tmp_path, "small")
    with pytest.raises(ValueError, match="with other numbers"):
        train(Training(small_net(), RECIPE), squares, PARTS, tmp_path, "small")
    other = small_net()
    other.centre = other.centre + 1
    with pytest.raises(ValueError, match="from another net"):
        train(Training(other, replace(RECIPE, steps=1)), squares, PARTS, tmp_path, "small")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A file of the house net: its real architecture, random weights, halves."""
    torch.manual_seed(0)
    net = new_hash_net(PLAIN_HASH)
    net.components = torch.linalg.qr(torch.randn(net.width, net.width))[0][: net.bits].contiguous()
    file = tmp_path / "house.safetensors"
    save_file({k: t.half() if t.is_floating_point() else t for k, t in net.state_dict().items()}, file)
    return file


def put_data(folder: Path) -> None:
    """Write archives of the real layout with a picture or a few each."""
    folder.mkdir()
    pictures = made_pictures(12, 64).permute(0, 2, 3, 1).numpy()
    numbers = iter(range(10**6))
    for archive in ARCHIVES:
        with tarfile.open(folder / archive, "w") as tar:
            members: dict[str, bytes] = {}
            wanted = {Part.TRAIN: 3, Part.TUNE: 1} if archive == "flickr8k.tar" else {Part.TRAIN: 1}
            for part, count in wanted.items():
                names = (f"images/{number}.jpg" for number in numbers)
                found = (name for name in names if part_of(name) == part)
                for _ in range(count):
                    members[next(found)] = encode_jpeg(pictures[len(members)])
            if archive == "flickr8k.tar":
                text = io.StringIO()
                writer = csv.writer(text)
                writer.writerow(["image", "caption"])
                writer.writerows([name.removeprefix("images/"), "a picture"] for name in members)
                members["captions.csv"] = text.getvalue().encode()
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def test_one_command_trains_the_house_net(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_data(tmp_path / "data")
    monkeypatch.setenv("PROVENANCE_DATA", str(tmp_path / "data"))
    work = tmp_path / "work"
    words = f"robust_hash {work} --net dinohash-house-v1 --start {house} --steps 2 --batch 2 --iterations 1 --warm-up 0"
    monkeypatch.setattr(sys, "argv", words.split())
    robust_hash.main()
    state, before = load_file(work / "robust-dinohash-house-v1.safetensors"), load_file(house)
    assert state.keys() == before.keys()
    assert torch.equal(state["components"], before["components"].float())
    assert not torch.equal(state["backbone.project.weight"], before["backbone.project.weight"].float())
    assert torch.load(work / "robust-dinohash-house-v1.pt", weights_only=True)["step"] == 2


def test_a_file_of_another_net_is_refused(tmp_path: Path) -> None:
    save_file(small_net().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ModelCorrupt, match="missing"):
        starting_net("dinohash-house-v1", tmp_path / "other.safetensors")
