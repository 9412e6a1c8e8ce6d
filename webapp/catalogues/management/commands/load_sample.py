"""Load the sample catalogue: a demo organisation, its owner, and a few dozen real pictures."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from webapp.catalogues.sample import CATALOGUE, ORGANISATION, OWNER, sample_load
from webapp.errors import ProductError


class Command(BaseCommand):
    """Idempotent: what was loaded once is left alone."""

    help = "Make the demo organisation and register the sample catalogue, unless that was done before."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --again."""
        parser.add_argument("--again", action="store_true", help="Load it also if it was loaded, and deleted, before.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Load, and say what was made.

        Raises:
            CommandError: the sample cannot be loaded; the message says why.
        """
        try:
            loaded = sample_load(again=options["again"])
        except (ProductError, RuntimeError) as error:
            reason = error.message if isinstance(error, ProductError) else error
            raise CommandError(f"The sample catalogue cannot be loaded: {reason}") from error
        if loaded.password is not None:
            admin = " It may enter the admin too." if settings.EMBEDDED else ""
            self.stdout.write(f"Demo log-in: {OWNER}, password {loaded.password} (shown only now).{admin}")
            self.stdout.write(f"Another one any time: python manage.py changepassword {OWNER}")
        if loaded.pictures is not None:
            self.stdout.write(f"{CATALOGUE} of {ORGANISATION}: {loaded.pictures} pictures registered.")
