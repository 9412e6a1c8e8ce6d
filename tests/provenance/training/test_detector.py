"""The recipe of the detector: one history for all pictures, a machine that separates, one command, and attacks."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from provenance.detection.detector import VERSION, Detector, Line, read_lines
from provenance.images.decode import encode_jpeg
from provenance.training import detector, detector_pictures, detector_robust
from provenance.training.apgd import Attack, collide
from provenance.training.detector import EDITS, answers, edited, fit_machine
from provenance.training.detector_pictures import SIDE, present, samples, with_one_history
from provenance.training.detector_robust import Recipe, Training, distances, pushed_apart
from provenance.training.pictures import DataMissing, Part, part_of
from provenance.training.regenerated import autoencoders


def picture(seed: int, height: int = 120, width: int = 120) -> np.ndarray:
    """Return smooth colours, seeded."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of tiny archives: photographs smooth, Stable Diffusion's sheets and GPT-4o's striped."""
    names = {"flickr8k": "images/{}.jpg", "caltech101": "cat/{}.jpg", "ai_sd15": "{}.webp", "ai_gpt4o": "{}.jpg"}
    for archive, name in names.items():
        with tarfile.open(tmp_path / f"{archive}.tar", "w") as tar:
            for number in range(16):
                pixels = picture(number + len(archive) * 100)
                if archive.startswith("ai"):
                    pixels = pixels // 2 + (np.indices((120, 120)).sum(0) // 6 % 2 * 120).astype(np.uint8)[..., None]
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "WEBP" if name.endswith("webp") else "JPEG", quality=95)
                member = tarfile.TarInfo(name.format(number))
                member.size = buffer.tell()
                buffer.seek(0)
                tar.addfile(member, buffer)
    monkeypatch.setenv("PROVENANCE_DATA", str(tmp_path))
    return tmp_path


def test_all_pictures_get_one_history() -> None:
    for pixels in (data.coffee(), picture(1, 90, 400)):
        history = with_one_history(pixels, "name")
        assert history.shape == (SIDE, SIDE, 3)
        # What was saved last shows in the file only: saved so again, it hardly changes.
        again = np.asarray(Image.open(io.BytesIO(encode_jpeg(history, quality=70)))).astype(int)
        assert np.abs(again - history).mean() < 1
    assert (with_one_history(data.coffee(), "a") != with_one_history(data.coffee(), "b")).any()
    assert (with_one_history(data.coffee(), "a") == with_one_history(data.coffee(), "a")).all()


def test_edits_go_by_the_name() -> None:
    for edit in EDITS:
        first, again, other = (edited(data.coffee(), edit, name) for name in ("a", "a", "b"))
        assert np.array_equal(first, again)
        assert edit == "plain" or not np.array_equal(first, other)


def test_the_machine_separates_and_the_classes_weigh_alike() -> None:
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (2200, 6)).astype(np.float32) * np.array([1, 50, 0.1, 1, 1, 1], np.float32)
    made = np.arange(2200) < 200
    features[made, 1] += 150
    weights = np.where(made, 1 / 200, 1 / 2000)
    line, offset = fit_machine(features, made, weights)
    scores = features @ line + offset
    wrong = [(scores[made] < 0).mean(), (scores[~made] >= 0).mean()]
    assert max(wrong) < 0.12
    assert abs(wrong[0] - wrong[1]) < 0.05, "the fewer are not given up for the many"


def test_samples_go_by_part_and_sheets_are_cut(archives: Path) -> None:
    found = list(samples("sd15", {Part.TRAIN: 100}))
    assert len(found) == 4 * sum(part_of(f"{number}.webp") == Part.TRAIN for number in range(16))
    assert all(sample.made and sample.part == Part.TRAIN for sample in found)
    assert {sample.name[-2:] for sample in found} == {"#0", "#1", "#2", "#3"}
    few = list(samples("flickr8k", {Part.TRAIN: 2, Part.TEST: 1}))
    assert sorted(sample.part for sample in few) == ["test", "train", "train"]
    assert not present("wesnoth")
    with pytest.raises(DataMissing, match=r"imagenet_sample\.tar"):
        list(samples("imagenet_sample", {Part.TEST: 1}))


def test_a_file_under_two_names_is_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode_jpeg(picture(1))
    names = {part: next(f"{n}.jpg" for n in range(99) if part_of(f"{n}.jpg") == part) for part in Part}
    monkeypatch.setattr(detector_pictures, "_files", lambda source: [(name, content) for name in names.values()][::-1])
    assert [sample.part for sample in samples("flickr8k", dict.fromkeys(Part, 9))] == [Part.TRAIN]


@pytest.mark.skipif(subprocess.run(["which", "dpkg-deb"], capture_output=True).returncode != 0, reason="Debian's tool")
def test_drawings_come_out_of_a_package(archives: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    folder = root / "usr/share/tuxpaint/stamps/animals"
    letters = root / "usr/share/tuxpaint/stamps/symbols/alphabets"
    for place in (folder, letters, root / "DEBIAN"):
        place.mkdir(parents=True)
    cut_out = np.zeros((200, 200, 4), np.uint8)
    cut_out[20:180, 20:180] = (250, 20, 20, 255)
    for file in (folder / "cat-1.png", folder / "cat-2.png", letters / "a.png"):
        Image.fromarray(cut_out).save(file)
    Image.fromarray(cut_out[:50, :50]).save(folder / "small.png")
    (root / "DEBIAN/control").write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n")
    package = archives / "tuxpaint-stamps-default_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", str(root), str(package)], check=True, capture_output=True)
    found = list(samples("tuxpaint", dict.fromkeys(Part, 9)))
    assert [sample.name.rsplit("/", 1)[1] for sample in sorted(found, key=lambda one: one.name)] == [
        "cat-1.png",
        "cat-2.png",
    ]
    assert found[0].part == found[1].part, "variants of one figure are in one part"
    corner = found[0].pixels[2, 2].astype(int)
    assert np.ptp(corner) < 80, "what was cut out stands on a muted ground"


def test_one_command_makes_a_detector(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(detector, "ERRORS", {"photographs": 0.4, "drawings": 0.4, "made": 0.4})
    few = {source: dict.fromkeys(Part, 1 if source == "sd15" else 2) for source in detector._MOST}
    monkeypatch.setattr(detector, "_MOST", few)
    monkeypatch.setattr(detector, "_ITERATIONS", 15)
    work = tmp_path / "work"
    monkeypatch.setattr(sys, "argv", ["detector", str(work)])
    detector.main()
    said = capsys.readouterr().out
    assert "wesnoth is not at hand" in said
    assert "sd15, never seen" in said
    lines, about = read_lines(work / "text-image.safetensors")
    assert set(lines) == {"all", "sd15", "gpt4o"}
    assert about["version"] != VERSION, "what does not ship is not called so"
    assert about["pictures"]["flickr8k"] == 2
    sheets = about["measured"]["sd15"]
    assert (sheets["pictures"], sheets["files"]) == (12, 3), "a sheet counts once"
    made = Detector(work / "text-image.safetensors")
    stripes = next(iter(samples("gpt4o", {Part.TEST: 1}))).pixels
    smooth = next(iter(samples("flickr8k", {Part.TEST: 1}))).pixels
    margins = [made.detect(pixels).margin for pixels in (stripes, smooth)]
    assert margins[0] is not None
    assert margins[1] is not None
    assert margins[0] > margins[1]


@pytest.mark.parametrize(
    ("recipe", "command", "words"),
    [
        (detector, ["{work}", "--weights", "{none}"], "Name a file of text-image, or none for the store's."),
        (detector, ["{work}", "--weights", "{file}"], "is not a good text-image"),
        (detector, ["{work}", "--weights", "{file}"], "Make it anew, or leave out --weights for the store's."),
        (detector, ["{work}", "--tower", "none"], "invalid choice: 'none'"),
        (detector, ["{file}"], "Name a folder that you may write to."),
        (detector, ["{work}"], "Set PROVENANCE_DATA to a folder"),
        (detector_robust, ["{work}", "--tower", "none"], "invalid choice: 'none'"),
        (detector_robust, ["{file}"], "Name a folder that you may write to."),
        (detector_robust, ["{work}"], "Set PROVENANCE_DATA to a folder"),
    ],
)
def test_a_command_says_what_is_wrong_and_what_to_do(
    recipe: ModuleType,
    command: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {name: tmp_path / name for name in ("work", "none", "file")}
    places["file"].write_text("no weights")
    monkeypatch.setenv("PROVENANCE_DATA", str(places["none"]))
    monkeypatch.setattr(sys, "argv", ["recipe", *(word.format(**places) for word in command)])
    with pytest.raises(SystemExit) as ended:
        recipe.main()
    assert ended.value.code == 2
    assert words in " ".join(capsys.readouterr().err.split())


class Look:
    """What sees the mean colour."""

    name, side, width = "look", 16, 3

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.mean((2, 3))


def seen(random: np.random.Generator, away: float, count: int) -> detector.Rows:
    learnt, held = random.normal(away, 1, (2, count, Look.width)).astype(np.float16)
    return detector.Rows(learnt, held, count)


def test_people_s_pictures_are_called_ai_s_as_seldom_as_asked(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    training = detector.Training(tmp_path, Look(), "0" * 64)
    places = {"flickr8k": -0.5, "caltech101": -0.4, "sd15": 0.5, "gpt4o": 0.7}
    training.rows = {source: seen(random, away, 400) for source, away in places.items()}
    for name, line in training.lines().items():
        margins = {source: line.margins(seen(random, away, 4000).held) for source, away in places.items()}
        people = np.concatenate([margins["flickr8k"], margins["caltech101"]])
        assert 0.002 <= (people >= line.ai_from).mean() <= 0.02, "asked for one in a hundred"
        others = [margins[generator] for generator in ("sd15", "gpt4o") if generator != name]
        assert 0.02 <= max((margin <= line.not_to).mean() for margin in others) <= 0.12, "about five in a hundred"
        assert line.not_to < line.ai_from
        assert line.probability(margins["flickr8k"]).mean() < 0.4 < 0.6 < line.probability(margins["gpt4o"]).mean()


def test_without_drawings_the_classes_still_weigh_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weighed = []

    def fit(features: np.ndarray, made: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
        weighed.append((weights[made].sum(), weights[~made].sum()))
        return fit_machine(features, made, weights)

    monkeypatch.setattr(detector, "fit_machine", fit)
    random = np.random.default_rng(0)
    for drawings in ((), ("wesnoth", "tuxpaint")):
        training = detector.Training(tmp_path, Look(), "0" * 64)
        sources = ("flickr8k", "caltech101", "sd15", "gpt4o", *drawings)
        training.rows = {source: seen(random, source in ("sd15", "gpt4o"), 120) for source in sources}
        training.lines()
    assert len(weighed) == 6
    assert all(made == pytest.approx(people) == pytest.approx(1) for made, people in weighed)


def test_what_was_seen_is_kept_whole_and_for_one_tower(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = detector.Training(tmp_path / "work", Look(), "0" * 64)

    def torn(handle: io.BufferedWriter, **arrays: object) -> None:
        handle.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", torn)
        with pytest.raises(KeyboardInterrupt):
            training._of("gpt4o", {Part.TRAIN: 2})
    rows = training._of("gpt4o", {Part.TRAIN: 2})
    assert rows.learnt.shape == (2, 3)
    again = training._of("gpt4o", {Part.TRAIN: 9})
    assert again.learnt.tolist() == rows.learnt.tolist(), "read, not taken anew"
    other = detector.Training(tmp_path / "work", Look(), "1" * 64)
    assert len(other._of("gpt4o", {Part.TRAIN: 1}).learnt) == 1, "another tower of that name sees for itself"


def test_answers_are_as_sure_as_there_are_files() -> None:
    line = Line(np.ones(1, np.float32), 0, 1, 0, ai_from=1, not_to=-1)
    margins = np.array([2.0, 2, 2, 2, 0, 0, 0, -2])
    wide, narrow = (answers(line, margins, files) for files in (2, 8))
    assert wide["likely_ai"] == {"share": 0.5, "low": 0.0945, "high": 0.9055}, "Wilson's, of one of two"
    assert narrow["likely_ai"]["share"] == 0.5
    assert narrow["likely_ai"]["low"] > 0.2
    assert narrow["likely_not_ai"]["share"] == 0.125


def test_an_autoencoder_gives_back_another_picture_of_the_same() -> None:
    pixels = np.asarray(Image.fromarray(data.coffee()).resize((96, 64)))
    back = autoencoders()["small-vqgan"](pixels)
    assert back.shape == pixels.shape
    difference = np.abs(back.astype(int) - pixels).mean()
    assert 1 < difference < 30


class SmallTower(nn.Module):
    """Convolutions over [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.Tanh(), nn.Conv2d(8, 8, 5, 2), nn.Tanh())

    def forward(self, pixels: Tensor) -> Tensor:
        return self.net(pixels * 2 - 1).mean((2, 3))


def some_pictures(count: int) -> Tensor:
    stacked = np.stack([picture(number, 32, 32) for number in range(count)])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def test_the_attack_stays_in_its_ball_and_goes_farther_than_noise() -> None:
    tower, clean = SmallTower(), some_pictures(4).float() / 255
    wanted = tower(clean).detach()
    random = torch.Generator().manual_seed(0)
    attacked = pushed_apart(tower, clean, wanted, Recipe(), random)
    assert (attacked - clean).abs().max() <= 4 / 255 + 1e-6
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    noise = (clean + (torch.rand(clean.shape, generator=random) * 2 - 1).sign() * 4 / 255).clamp(0, 1)
    assert (distances(tower(attacked), wanted) > 50 * distances(tower(noise), wanted)).all()


def test_fare_draws_attacked_features_back_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    recipe = Recipe(steps=40, rate=3e-3, warm_up=2, iterations=4)
    training, clean = Training(SmallTower(), recipe), some_pictures(12).float() / 255
    marks = [training.advance(clean) for _ in range(25)]
    assert marks[0][0] == pytest.approx(marks[0][1], rel=1e-5), "at first they are one tower"
    assert marks[-1][0] < 0.6 * marks[0][0]
    training.save(tmp_path / "a.pt")
    other = Training(SmallTower(), recipe)
    other.resume(tmp_path / "a.pt")
    assert other.advance(clean) == pytest.approx(training.advance(clean), rel=1e-4)
    with pytest.raises(ValueError, match="other numbers"):
        Training(SmallTower(), Recipe(steps=41)).resume(tmp_path / "a.pt")


def test_a_damaged_checkpoint_is_told_and_may_be_removed(tmp_path: Path) -> None:
    recipe = Recipe(steps=40)
    Training(SmallTower(), recipe).save(tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    Training(nn.Linear(2, 2), recipe).save(tmp_path / "other.pt")
    torch.save([1], tmp_path / "list.pt")
    for name, content in {"cut": whole[:-200], "empty": b"", "words": b"no checkpoint"}.items():
        (tmp_path / f"{name}.pt").write_bytes(content)
    for name in ("other", "list", "cut", "empty", "words"):
        with pytest.raises(ValueError, match=rf"{name}\.pt cannot be gone on from \(.+remove it"):
            Training(SmallTower(), recipe).resume(tmp_path / f"{name}.pt")


def test_attacked_correctly_a_margin_falls_and_never_helps() -> None:
    """Ascending in pixels from 0 to 1 on each margin by itself, an attack cannot make the detector better."""
    tower, pixels = SmallTower(), some_pictures(8)
    made = torch.arange(8) < 4
    weights = torch.linspace(-3, 3, 8)

    def margin(x: Tensor) -> Tensor:
        return (tower(x) @ weights)[:, None] * 4

    clean = margin(pixels.float() / 255)[:, 0]
    last = clean
    for levels in (4, 8):
        found = collide(margin, pixels, ~made[:, None], Attack(eps=levels / 255, iterations=20, scale=1.0))
        after = margin(found.pixels.float() / 255)[:, 0].detach()
        assert (found.change <= levels).all()
        towards = torch.where(made, -1.0, 1.0)
        assert (towards * (after - last) > 0).all(), "each goes to the other side, and farther with a larger radius"
        last = after


def test_the_recipe_of_fare_writes_a_tower_that_is_read_back(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "robust"
    command = ["x", str(work), "--steps", "1", "--batch", "2", "--iterations", "1", "--rate", "1e-5"]
    monkeypatch.setattr(detector_robust, "_PICTURES", 2)
    monkeypatch.setattr(sys, "argv", command)
    detector_robust.main()
    tuned, plain = (detector.tower_named("text-image", file) for file in (work / "robust-text-image.safetensors", None))
    pixels = torch.rand(1, 3, tuned.side, tuned.side)
    assert not torch.allclose(tuned(pixels), plain(pixels))
    assert (tuned(pixels) - plain(pixels)).abs().mean() < 0.2
