"""The store of weights: what it hands out, what it refuses, and what it says then."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.models import catalogue, store
from provenance.models.catalogue import Pin
from tests.provenance.models.conftest import CONTENT, SHIPPED, Shelf, ship

DIGEST = hashlib.sha256(CONTENT).hexdigest()


def put(shelf: Shelf, content: bytes = CONTENT) -> Path:
    shelf.folder.mkdir(exist_ok=True)
    shelf.file.write_bytes(content)
    return shelf.file


def test_what_is_missing_names_the_command(shelf: Shelf) -> None:
    for ask in (store.path, store.sha256, store.verify):
        with pytest.raises(store.ModelMissing, match="provenance models pull pinned") as caught:
            ask("pinned")
        assert caught.value.command == "provenance models pull pinned"
    assert store.find("pinned") is None
    assert not shelf.folder.exists()


def test_an_unknown_name_is_told_the_known_ones(shelf: Shelf) -> None:
    with pytest.raises(store.UnknownModel, match=r"There is no model pined\. There are: pinned, unpinned, shipped"):
        store.path("pined")


def test_a_local_file_with_the_right_digest_is_handed_out(shelf: Shelf) -> None:
    put(shelf)
    assert store.path("pinned") == shelf.file
    assert store.sha256("pinned") == DIGEST
    assert shelf.server.requests == []


def test_a_local_file_with_another_digest_is_not(shelf: Shelf) -> None:
    put(shelf, CONTENT[:-1] + b"!")
    with pytest.raises(store.ModelCorrupt, match=f"{DIGEST} is right.*provenance models pull pinned") as caught:
        store.path("pinned")
    assert caught.value.path == shelf.file


def test_a_file_that_changes_is_read_again(shelf: Shelf) -> None:
    put(shelf)
    store.path("pinned")
    put(shelf, CONTENT + b"more")
    with pytest.raises(store.ModelCorrupt):
        store.path("pinned")


def test_a_file_is_read_once_until_it_is_to_be_verified(shelf: Shelf) -> None:
    before = put(shelf).stat()
    store.path("pinned")
    # The same size and times, as if the disk had gone bad behind the file system's back.
    with shelf.file.open("r+b") as file:
        file.write(b"\0\0\0\0")
    os.utime(shelf.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.path("pinned") == shelf.file
    with pytest.raises(store.ModelCorrupt):
        store.verify("pinned")


def test_the_first_use_pins_what_nobody_published(shelf: Shelf) -> None:
    put(shelf)
    assert store.get("unpinned").pin is Pin.FIRST_USE
    assert store.known_sha256("unpinned") is None
    assert store.sha256("unpinned") == DIGEST
    assert store.known_sha256("unpinned") == DIGEST
    record = shelf.folder / "net.bin.sha256"
    assert subprocess.run(["sha256sum", "--check", record.name], cwd=shelf.folder, check=False).returncode == 0
    put(shelf, b"another file")
    with pytest.raises(store.ModelCorrupt, match=str(record)):
        store.path("unpinned")
    record.unlink()
    assert store.sha256("unpinned") == hashlib.sha256(b"another file").hexdigest()


def test_a_digest_that_cannot_be_recorded_is_no_pin(shelf: Shelf) -> None:
    put(shelf)
    (shelf.folder / f".net.bin.sha256.{os.getpid()}").mkdir()
    with pytest.raises(store.ModelError, match=r"cannot be recorded in .*provenance models pull unpinned"):
        store.path("unpinned")


def test_a_broken_record_is_told(shelf: Shelf) -> None:
    put(shelf)
    (shelf.folder / "net.bin.sha256").write_text("nonsense\n")
    with pytest.raises(store.ModelError, match="is no list of SHA-256 digests"):
        store.path("unpinned")


def test_a_shipped_file_is_proved_by_the_packages_list(shelf: Shelf) -> None:
    file = ship(shelf)
    assert store.get("shipped").pin is Pin.PACKAGE
    assert store.path("shipped") == file
    assert store.pull("shipped") == file
    assert store.sha256("shipped") == hashlib.sha256(SHIPPED).hexdigest()


@pytest.mark.parametrize(("content", "listed"), [(b"damaged", SHIPPED), (SHIPPED, None)], ids=["damaged", "unlisted"])
def test_a_shipped_file_that_the_list_does_not_have_is_refused(
    shelf: Shelf, content: bytes, listed: bytes | None
) -> None:
    ship(shelf, content, listed)
    for ask in (store.path, store.pull):
        with pytest.raises(store.ModelCorrupt, match=r"Install the package again|SHA256SUMS does not list it"):
            ask("shipped")


def test_a_missing_shipped_file_has_no_command(shelf: Shelf) -> None:
    for ask in (store.path, store.pull):
        with pytest.raises(store.ModelMissing, match="Install the package again") as caught:
            ask("shipped")
        assert caught.value.command is None


def test_the_package_comes_before_the_local_folder(shelf: Shelf) -> None:
    shelf.folder.mkdir()
    (shelf.folder / "small.bin").write_bytes(SHIPPED)
    (shelf.package / "SHA256SUMS").write_text(f"{hashlib.sha256(SHIPPED).hexdigest()}  small.bin\n")
    assert store.path("shipped") == shelf.folder / "small.bin"
    assert store.path("shipped") != ship(shelf) == store.path("shipped")


def test_the_local_folder_is_the_users_cache_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PROVENANCE_MODELS", " ")
    assert store.folder() == tmp_path / "provenance" / "models"
    monkeypatch.setenv("PROVENANCE_MODELS", "~/weights")
    assert store.folder() == tmp_path / "weights"


def test_every_shipped_file_is_listed_and_right() -> None:
    listed = {
        line.split()[1]: line.split()[0] for line in (catalogue.WEIGHTS / catalogue.SUMS).read_text().splitlines()
    }
    there = {file.name: file for file in catalogue.WEIGHTS.glob("*.safetensors")}
    assert set(listed) == set(there)
    for name, file in there.items():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == listed[name]
        assert file.with_suffix(".md").is_file()


def test_published_models_come_over_https_and_say_how_they_are_pinned() -> None:
    for model in catalogue.MODELS.values():
        assert all(url.startswith("https://") for url in model.urls)
        assert model.shipped or model.size
    assert catalogue.MODELS["small-vqgan"].pin is Pin.PACKAGE
    assert catalogue.MODELS["vqgan-f16-16384"].pin is Pin.FIRST_USE


def test_the_store_and_the_command_line_load_no_torch() -> None:
    code = "import sys, provenance.models.store, provenance.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
