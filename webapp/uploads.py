"""Uploads: how their names are shown, and large ones in temporary files without a name."""

from __future__ import annotations

import contextlib
import tempfile
import unicodedata
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.utils.translation import gettext as _


class UnnamedFileUploadHandler(FileUploadHandler):
    """Takes what the handler for small uploads leaves: what a killed process was reading is nowhere afterwards."""

    file: IO[bytes]

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Open the file that the next upload goes to."""
        super().new_file(*args, **kwargs)
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads the upload closes it

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Keep a piece of it."""
        self.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        """Return it, to be read from its beginning."""
        self.file.seek(0)
        return UploadedFile(
            file=self.file,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )

    def upload_interrupted(self) -> None:
        """Close it when its sender goes away."""
        with contextlib.suppress(AttributeError):
            self.file.close()


def shown_name(name: str | None) -> str:
    """Return the sender's name for a file as it may be shown: its last part, printable, at most 255 characters.

    It is never a path: files are stored under keys of our own.
    """
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    # Category C: control characters, and those that turn the direction of what follows (Unicode, chapter 4).
    printable = "".join(letter for letter in last if not unicodedata.category(letter).startswith("C")).strip()
    return printable[:255] or _("picture")
