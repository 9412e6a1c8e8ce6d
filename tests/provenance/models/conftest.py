"""A store of its own for each test: an empty package, an empty local folder, a local server as the only source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provenance.models import catalogue, download
from provenance.models.catalogue import MODELS, Model
from tests.provenance.models.file_server import FileServer, serve
from tests.provenance.models.published import numbers

CONTENT = numbers("a weight file", (768 * 1024,)).tobytes()
SHIPPED = b"a small weight file"


@dataclass
class Shelf:
    """Where the test's files are, and its three models: "pinned", "unpinned" and "shipped"."""

    server: FileServer
    package: Path
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "net.bin"

    @property
    def part(self) -> Path:
        return self.folder / "net.bin.part"

    def change(self, name: str, **values: object) -> None:
        MODELS[name] = replace(MODELS[name], **values)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    with serve(CONTENT) as server:
        made = Shelf(server, tmp_path / "package", tmp_path / "local")
        made.package.mkdir()
        digest = hashlib.sha256(CONTENT).hexdigest()
        common = {"purpose": "tests", "architecture": "none", "licence": "MIT", "origin": "here"}
        remote = common | {"file": "net.bin", "size": len(CONTENT), "urls": (server.url,)}
        models = [
            Model(name="pinned", sha256=digest, **remote),
            Model(name="unpinned", **remote),
            Model(name="shipped", file="small.bin", **common),
        ]
        for name in list(MODELS):
            monkeypatch.delitem(MODELS, name)
        for model in models:
            monkeypatch.setitem(MODELS, model.name, model)
        monkeypatch.setattr(catalogue, "WEIGHTS", made.package)
        monkeypatch.setattr(download, "FIRST_PAUSE", 0.01)
        monkeypatch.setenv("PROVENANCE_MODELS", str(made.folder))
        monkeypatch.delenv("PROVENANCE_OFFLINE", raising=False)
        yield made


def ship(shelf: Shelf, content: bytes = SHIPPED, listed: bytes | None = SHIPPED) -> Path:
    """Put a file, and its digest, into the package."""
    file = shelf.package / "small.bin"
    file.write_bytes(content)
    if listed is not None:
        (shelf.package / "SHA256SUMS").write_text(f"{hashlib.sha256(listed).hexdigest()}  small.bin\n")
    return file
