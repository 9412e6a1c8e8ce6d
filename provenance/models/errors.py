"""What can be wrong with a weight file. Every message is a sentence for a person and says what to do."""

from __future__ import annotations

from pathlib import Path


class ModelError(RuntimeError):
    """A model cannot be had."""


class UnknownModel(ModelError):
    """There is no model of that name."""


class ModelMissing(ModelError):
    """The file is not here.

    Attributes:
        command: what gets it; None for a file of the package itself.
    """

    def __init__(self, message: str, *, name: str, command: str | None) -> None:
        super().__init__(message)
        self.name = name
        self.command = command


class ModelCorrupt(ModelError):
    """A file is here, and it is not what it should be."""

    def __init__(self, name: str, path: Path, reason: str) -> None:
        super().__init__(f"{path} is not a good {name}: {reason}")
        self.name = name
        self.path = path


class DownloadFailed(ModelError):
    """The file could not be fetched; what arrived is kept for the next try."""


class Offline(ModelError):
    """Fetching was forbidden by PROVENANCE_OFFLINE."""
