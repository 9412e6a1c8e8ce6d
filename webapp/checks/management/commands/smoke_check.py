"""Check one edited picture of the sample catalogue the way a visitor would, through the queue and the worker."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from provenance.images import edits
from provenance.images.decode import decode, encode_jpeg
from webapp.accounts.models import User
from webapp.catalogues.sample import OWNER, sample_folder
from webapp.checks.models import Check, Verdict
from webapp.checks.services import check_submit
from webapp.errors import ProductError
from webapp.files import sha256_of
from webapp.registry.models import Work

# Rich in detail; the first that is registered is taken.
PICTURES = ("picos.jpg", "coffee.jpg", "chelsea.jpg", "dragonfly.jpg")
EDIT = "screenshot"
_FOUND = (Verdict.REGISTERED, Verdict.PROBABLY_REGISTERED)
_LOOK_SECONDS = 0.1


class Command(BaseCommand):
    """Ends with status 1 unless the picture is found."""

    help = "Check a screenshot-like edit of a sample picture and print the verdict and its address."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --timeout."""
        parser.add_argument("--timeout", type=_seconds, default=120.0, help="Seconds to wait for the verdict.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Submit, wait, and print one line.

        Raises:
            CommandError: the check failed, took too long, or did not find the picture.
        """
        found = _registered_sample()
        if found is None:
            self.stdout.write(
                "Smoke check left out: no picture of the sample catalogue is registered"
                " (python manage.py load_sample --again registers them)."
            )
            return
        path, work = found
        edited = encode_jpeg(edits.apply(EDIT, decode(path.read_bytes()).pixels, seed=1))
        upload = SimpleUploadedFile(f"{path.stem}-{EDIT}.jpg", edited, content_type="image/jpeg")
        began = time.monotonic()
        try:
            (check,) = check_submit(files=[upload], owner=User.objects.filter(email=OWNER).first())
        except ProductError as error:
            raise CommandError(f"Smoke check refused: {error.message}") from error
        url = settings.SITE_URL + reverse("checks:detail", args=[check.pk])
        _wait(check, until=began + options["timeout"], url=url)
        finds_it = check.evidence.filter(work=work).exists()
        line = f"Smoke check of a {EDIT} of “{work.title}”: {check.get_verdict_display()}"
        if check.verdict not in _FOUND or not finds_it:
            raise CommandError(f"{line}, but it is registered. {url}")
        self.stdout.write(f"{line}, found “{work.title}” in {time.monotonic() - began:.1f} s. {url}")


def _registered_sample() -> tuple[Path, Work] | None:
    for name in PICTURES:
        path = sample_folder() / name
        work = Work.objects.live().filter(sha256=sha256_of(path.read_bytes())).order_by("created_at").first()
        if work is not None:
            return path, work
    return None


def _wait(check: Check, *, until: float, url: str) -> None:
    """Wait for the check's verdict.

    Raises:
        CommandError: it failed, or there is none in time.
    """
    while not check.job.is_final:
        if time.monotonic() > until:
            raise CommandError(f"Smoke check without a verdict in time: is the worker running? {url}")
        time.sleep(_LOOK_SECONDS)
        check.job.refresh_from_db()
    check.refresh_from_db()
    if not check.verdict:
        raise CommandError(f"Smoke check {check.job.state}: {check.job.error_message} {url}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise ArgumentTypeError("a number of seconds above 0")
    return seconds
