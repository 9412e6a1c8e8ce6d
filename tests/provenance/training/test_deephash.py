"""Training of the four autoencoders: all of them learn, and a stopped training comes to the same end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from provenance.hashing.autoencoders import AutoencoderHash
from provenance.models.autoencoder_nets import KINDS, Architecture, Autoencoder, load_autoencoder
from provenance.training import deephash
from provenance.training.deephash import Trainer, save_weights
from provenance.training.deephash_pictures import LEAST_PICTURES, CannotTrain, check_pictures, folder, folder_key
from tests.webapp.pictures import pixels_of

COUNT = 80


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    return np.stack([pixels_of(seed, 32, 32)[..., 0] for seed in range(COUNT)])


def trainer(levels: np.ndarray, checkpoint: Path, kind: str = "con-vae", epochs: int = 3) -> Trainer:
    return Trainer(
        Architecture(kind, 16, 32, 0.05),
        levels,
        train=np.arange(COUNT),
        tune=np.empty(0, np.int64),
        epochs=epochs,
        checkpoint=checkpoint,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [32, 128])
def test_pictures_become_bits_and_pictures_again(kind: str, side: int) -> None:
    net = Autoencoder(Architecture(kind, 32, side, 0.05))
    pictures = torch.rand(2, 1, side, side)
    made, latent = net(pictures)
    assert made.shape == pictures.shape
    assert latent.mean.shape == (2, 32)
    assert (latent.log_variance is not None) == (kind in ("con-vae", "vte"))
    if kind == "res-ae":
        assert (latent.mean >= 0).all(), "its latent is behind a ReLU, as published"


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns(kind: str, levels: np.ndarray, tmp_path: Path) -> None:
    learning = trainer(levels, tmp_path / "state.pt", kind, epochs=5)
    assert learning.run(lambda _done, _all: True)
    first, last = learning.history[0], learning.history[-1]
    assert last.train_mse < first.train_mse
    assert last.train_psnr > first.train_psnr


def test_the_paper_s_widths() -> None:
    architecture = Architecture("con-vae", 64)
    net = Autoencoder(architecture)
    convolutions = [layer.out_channels for layer in net.encoder if isinstance(layer, torch.nn.Conv2d)]
    assert convolutions == [32, 64, 128, 256, 512, 1024]


def test_a_stopped_training_comes_to_the_same_end(levels: np.ndarray, tmp_path: Path) -> None:
    whole = trainer(levels, tmp_path / "whole.pt")
    assert whole.run(lambda _done, _all: True)
    stops = 0
    while not trainer(levels, tmp_path / "parts.pt").run(lambda done, _all: done % 2 == 1):
        stops += 1
    assert stops == 2
    parts = trainer(levels, tmp_path / "parts.pt").finish()
    for name, tensor in whole.finish().state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_bits_are_about_as_often_one_as_zero_and_survive_the_file(levels: np.ndarray, tmp_path: Path) -> None:
    learning = trainer(levels, tmp_path / "state.pt")
    learning.run(lambda _done, _all: True)
    net = learning.finish()
    save_weights(net, tmp_path / "net.safetensors")
    loaded = load_autoencoder(tmp_path / "net.safetensors")
    assert loaded.architecture == net.architecture
    pictures = torch.from_numpy(levels).unsqueeze(1).float() / 255
    mean = net.encode(pictures).mean
    assert torch.allclose(mean.mean(0), net.threshold, atol=1e-5)
    assert torch.allclose(loaded.encode(pictures).mean, mean, atol=5e-2)
    bits = np.unpackbits(AutoencoderHash("tiny", 16, lambda: loaded).encode_grey(levels)[0], axis=1)
    assert (abs(bits.mean(0) - 0.5) < 0.3).all()
    # float16 turns a number only where it is next to its threshold.
    assert (bits == (mean > net.threshold).numpy()).mean() > 0.95


def test_another_training_s_checkpoint_is_refused(levels: np.ndarray, tmp_path: Path) -> None:
    trainer(levels, tmp_path / "state.pt").run(lambda _done, _all: False)
    with pytest.raises(ValueError, match="another training"):
        trainer(levels, tmp_path / "state.pt", epochs=4)


def test_a_file_that_is_no_autoencoder_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="no autoencoder"):
        load_autoencoder(tmp_path / "net.safetensors")


def test_weights_are_on_the_disk_before_they_have_their_name_and_a_part_of_them_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    there: list[bool] = []
    monkeypatch.setattr("os.fsync", lambda _file: there.append(path.exists()))
    save_weights(Autoencoder(Architecture("con-vae", 16, 32, 0.05)), path)
    assert there == [False]
    whole = path.read_bytes()
    for length in (0, 100, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="no autoencoder"):
            load_autoencoder(path)


@pytest.mark.parametrize(
    ("count", "seeds", "reason"),
    [
        (0, 1, "no picture"),
        (LEAST_PICTURES - 1, LEAST_PICTURES, "at least 64"),
        (LEAST_PICTURES + 8, 1, "only 1 differ"),
    ],
)
def test_what_teaches_nothing_is_refused_with_the_reason(count: int, seeds: int, reason: str) -> None:
    pictures = [pixels_of(number % seeds, 32, 32)[..., 0] for number in range(count)]
    with pytest.raises(CannotTrain, match=reason):
        check_pictures(np.array(pictures, np.uint8), np.arange(count))


def test_different_pictures_count_wherever_they_stand(levels: np.ndarray, tmp_path: Path) -> None:
    many = np.concatenate([np.repeat(levels[:1], 1024, 0), levels])
    Trainer(
        Architecture("con-vae", 16, 32, 0.05),
        many,
        train=np.arange(len(many)),
        tune=np.empty(0, np.int64),
        epochs=1,
        checkpoint=tmp_path / "state.pt",
    )


@pytest.mark.parametrize("wrong", [{"kind": "gan"}, {"bits": 12}, {"side": 100}, {"scale": 0.0}])
def test_an_architecture_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Architecture(**{"kind": "ae", "bits": 16, **wrong})  # type: ignore[arg-type]


def test_an_error_past_all_numbers_is_refused_with_the_reason(
    levels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deephash, "LEARNING_RATE", 1e30)
    with pytest.raises(CannotTrain, match="error grew past all numbers"):
        trainer(levels, tmp_path / "state.pt").run(lambda _done, _all: True)


def picture_folder(path: Path, count: int) -> Path:
    path.mkdir()
    for seed in range(count):
        Image.fromarray(pixels_of(seed, 32, 32)).save(path / f"{seed}.png")
    return path


def test_a_folder_with_other_pictures_is_read_anew(tmp_path: Path) -> None:
    pictures = picture_folder(tmp_path / "pictures", 2)
    assert len(folder(pictures, tmp_path / "cache").names) == 2
    key = folder_key(pictures)
    Image.fromarray(pixels_of(7, 32, 32)).save(pictures / "odd\nname.png")
    found = folder(pictures, tmp_path / "cache")
    assert len(found.levels) == 3
    assert folder_key(pictures) not in (key, folder_key(picture_folder(tmp_path / "others", 3)))


def test_the_command_trains_on_a_folder_and_refuses_what_it_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, work = picture_folder(tmp_path / "pictures", LEAST_PICTURES), tmp_path / "work"

    def run(*options: str, of: Path = pictures, to: Path = work) -> str:
        arguments = ["ae", "16", str(to), "--pictures", str(of), "--scale", "0.01", "--device", "cpu", *options]
        monkeypatch.setattr("sys.argv", ["deephash", *arguments])
        deephash.main()
        return capsys.readouterr().out

    assert "16 bits" in run("--epochs", "1", "--threads", "1")
    (weights,) = work.glob("folder-*-ae-16.safetensors")
    assert load_autoencoder(weights).architecture.bits == 16
    (epoch,) = json.loads(weights.with_suffix(".json").read_text())
    assert epoch["train_psnr"] > 0
    assert epoch["tune_psnr"] is None
    file = tmp_path / "file"
    file.touch()
    for options, of, to, reason in (
        (("--epochs", "2"), pictures, work, "of another training"),
        (("--epochs", "0"), pictures, work, "--epochs is at least 1"),
        (("--scale", "2"), pictures, work, "--scale above 0"),
        (("--threads", "0"), pictures, work, "--threads is at least 1"),
        (("--device", "abacus"), pictures, work, "no device “abacus”"),
        ((), pictures, pictures / "work", "in the folder of the pictures"),
        ((), pictures, file, "Not a directory"),
        ((), tmp_path / "none", work, "There is no folder"),
        ((), picture_folder(tmp_path / "few", 3), work, "at least 64 different pictures, not 3"),
    ):
        with pytest.raises(SystemExit) as refused:
            run(*options, of=of, to=to)
        assert refused.value.code == 2
        assert reason in capsys.readouterr().err
