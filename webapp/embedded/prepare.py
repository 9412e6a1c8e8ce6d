"""What a site needs before it can serve: tables, its pages' own files, the sample catalogue. Quick when done."""

from __future__ import annotations

import hashlib
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command


def prepare(*, sample: bool) -> None:
    """Bring the site of the present settings to where it can serve; a second time changes nothing.

    Args:
        sample: load the demo organisation with its catalogue too.

    Raises:
        CommandError: a step refused; its message says why.
        OperationalError: the database does not answer.
    """
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    _collect_static()
    if sample:
        call_command("load_sample")


def _collect_static() -> None:
    """Copy the pages' own files to where they are served from, unless they are the ones that are there."""
    stamp = Path(settings.DATA_DIR) / "static.collected"
    wanted = _fingerprint_of_static_files()
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted and Path(settings.STATIC_ROOT).is_dir():
        return
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    stamp.write_text(wanted, encoding="ascii")


def _fingerprint_of_static_files() -> str:
    """Tell states of the files apart without reading them all; packages change with requirements.txt only."""
    digest = hashlib.sha256((Path(settings.BASE_DIR) / "requirements.txt").read_bytes())
    for folder in settings.STATICFILES_DIRS:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                found = path.stat()
                digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()
