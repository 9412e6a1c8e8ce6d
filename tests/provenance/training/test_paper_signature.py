from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from provenance.models.errors import ModelMissing
from provenance.models.paper_signature_nets import ResNetConfig, UNetConfig
from provenance.training import paper_signature as recipe
from provenance.training.paper_signature import Recipe, Training, recipe_of
from provenance.training.pictures import DataMissing, Part
from provenance.training.signature_pictures import Squares, folder
from provenance.training.signature_views import blurred, rotated, seen
from provenance.watermark import paper

TINY = paper.Profile(
    16, UNetConfig(8, (1, 2), blocks=1, attention=(2,), head=8, groups=4, dropout=0.1), ResNetConfig(4, small=True)
)
NUMBERS = Recipe("tiny", steps=6, batch=4, rate=3e-3, ramp=3)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(paper.PROFILES, "tiny", TINY)


@pytest.fixture(scope="module")
def squares() -> Squares:
    random = np.random.default_rng(1)
    small = random.integers(0, 256, (80, 6, 6, 3), np.uint8)
    pixels = small.repeat(4, 1).repeat(4, 2)
    return Squares([f"{n}.png" for n in range(80)], pixels)


def _batch(squares: Squares, step: int = 0) -> torch.Tensor:
    random = np.random.default_rng(step)
    return paper.to_pixels(recipe.drawn([squares], Part.TRAIN, NUMBERS.batch, 16, random))


def test_the_loss_falls_on_one_batch(squares: Squares) -> None:
    training = Training(replace(NUMBERS, ramp=0, weight=0.05))
    pixels = _batch(squares)
    losses = [training.advance(pixels) for _ in range(50)]
    assert losses[-1]["rec"] < 0.3 * losses[0]["rec"]
    # A detector that guesses has log 2; over some steps, since each sees other views.
    assert np.mean([each["cls"] for each in losses[-10:]]) < 0.75 * math.log(2)


@pytest.mark.parametrize("changes", [{"bits": 2}, {"noise": 0.5, "attacked": True}])
def test_a_killed_run_ends_in_the_same_bytes(changes: dict[str, object], squares: Squares, tmp_path: Path) -> None:
    numbers = replace(NUMBERS, **changes)  # type: ignore[arg-type]
    whole = Training(numbers)
    for step in range(4):
        whole.advance(_batch(squares, step))
    first = Training(numbers)
    for step in range(2):
        first.advance(_batch(squares, step))
    first.save(tmp_path / "run.pt")
    torch.manual_seed(99)
    second = Training(numbers)
    second.resume(tmp_path / "run.pt")
    for step in range(2, 4):
        second.advance(_batch(squares, step))
    for key, tensor in whole.injector.state_dict().items():
        assert torch.equal(tensor, second.injector.state_dict()[key]), key
    for key, tensor in whole.detector.state_dict().items():
        assert torch.equal(tensor, second.detector.state_dict()[key]), key


def test_a_checkpoint_of_other_numbers_is_refused(tmp_path: Path) -> None:
    Training(NUMBERS).save(tmp_path / "run.pt")
    with pytest.raises(ValueError, match="made with other numbers"):
        Training(replace(NUMBERS, weight=1.0)).resume(tmp_path / "run.pt")
    longer = Training(replace(NUMBERS, steps=9))
    longer.resume(tmp_path / "run.pt")
    assert longer.schedules == [[0, 6], [0, 9]]


def test_the_runs_of_a_table_in_one_go(monkeypatch: pytest.MonkeyPatch, squares: Squares, tmp_path: Path) -> None:
    def tiny(run: str, _size: str) -> Recipe:
        small = recipe_of(run, "small")
        return replace(small, profile="tiny", steps=2, batch=4)

    monkeypatch.setattr(recipe, "recipe_of", tiny)
    with pytest.raises(ModelMissing, match=r"paper_signature .* weight-0"):
        recipe.started(tmp_path, "n1", "small", "cpu")
    for run in ("weight-0", "n1", "n2", "noise-aux", "restore-n1"):
        training = recipe.started(tmp_path, run, "small", "cpu")
        assert not recipe.train(tmp_path, run, training, [squares], minutes=0)
        assert recipe.train(tmp_path, run, recipe.started(tmp_path, run, "small", "cpu"), [squares])
        curve = json.loads((tmp_path / f"{run}.json").read_text())["history"]
        assert [row["step"] for row in curve] == [2]
        assert paper.load_injector(tmp_path / f"{run}.safetensors").bits == (2 if run == "n2" else 1)
    # The attack leaves its victim alone, and has no detector.
    assert json.loads((tmp_path / "n1.json").read_text())["recipe"]["start"] == "weight-0"
    assert math.isnan(curve[0]["accuracy"])


def test_the_paper_size_is_the_papers() -> None:
    found = recipe_of("n1", "paper")
    assert (found.batch, found.rate, found.weight, found.start, found.decay) == (24, 1e-4, 0.05, "", False)
    assert (found.weight_at(0), found.weight_at(50), found.weight_at(5000)) == (0, 0.025, 0.05)
    assert found.rate_at(0) == found.rate_at(119_999) == 1e-4


def test_the_views_of_signed_and_plain_pictures() -> None:
    pixels = torch.rand(2, 3, 16, 16) * 2 - 1
    assert torch.equal(rotated(pixels, 0), pixels)
    # A right angle, so that the direction shows; the corners' grey is that of what lies outside.
    assert torch.equal(rotated(pixels, 90), pixels.rot90(-1, (2, 3))) or torch.equal(
        rotated(pixels, 90), pixels.rot90(1, (2, 3))
    )
    assert not rotated(pixels, 30)[:, :, 0, 0].any()
    assert torch.allclose(blurred(pixels, 0.01), pixels)
    assert torch.allclose(blurred(torch.full((1, 3, 8, 8), 0.3), 1.0), torch.tensor(0.3))
    assert blurred(pixels, 1.0).std() < 0.6 * pixels.std()
    random = np.random.default_rng(0)
    one, other = seen(pixels, random), seen(pixels, random)
    assert not torch.equal(one, other)
    assert torch.allclose(one, paper.rounded(one))


def test_parts_are_split_by_picture(squares: Squares) -> None:
    parts = [set(squares.of(part)) for part in Part]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 80
    assert Squares(["test/a.jpg"], squares.pixels[:1]).of(Part.TEST).tolist() == [0]
    assert not Squares(["train/a.jpg"], squares.pixels[:1]).of(Part.TEST).size


def test_where_there_are_few_pictures_all_are_taken(squares: Squares) -> None:
    few = Squares(squares.names[:8], squares.pixels[:8])
    random = np.random.default_rng(0)
    assert len(recipe.drawn([few], Part.TRAIN, 50, 16, random)) == len(few.of(Part.TRAIN))
    with pytest.raises(DataMissing, match="is for test"):
        recipe.drawn([Squares(["train/a.png"], squares.pixels[:1])], Part.TEST, 1, 16, random)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no folder"):
        folder(tmp_path / "absent", tmp_path, 16)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataMissing, match="no picture in"):
        folder(tmp_path / "empty", tmp_path, 16)
