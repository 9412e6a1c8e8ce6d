"""The commands behind ``make up`` and ``make stop``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from webapp.embedded.programs import PostgresError
from webapp.env import env_int


def main(arguments: list[str]) -> int:
    """Run a command; return its exit status: 0, 1 where it failed, 2 where a setting is wrong."""
    parser = argparse.ArgumentParser(prog="python -m webapp.embedded", description="The whole site on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring the site up and serve until Ctrl-C")
    commands.add_parser("stop", help="stop the site, or what a killed start left of it")
    commands.add_parser("status", help="tell what runs")
    commands.add_parser("database", help="start only the database, for manage.py; 'stop' stops it")
    preparing = commands.add_parser("prepare", help="tables, static files, sample catalogue; 'up' does it too")
    preparing.add_argument("--without-sample", action="store_true", help="no demo organisation")
    commands.add_parser("health", help="succeed if the web server at SITE_PORT of this machine answers")
    options = parser.parse_args(arguments)
    chosen = options.command
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    try:
        from django.conf import settings

        data_dir = Path(settings.DATA_DIR)
    except ImproperlyConfigured as error:
        return _refuse(str(error), status=2)
    except PermissionError as error:
        advice = "Set PROVENANCE_HOME to a folder of your own."
        return _refuse(f"{error.filename} cannot be used: {error.strerror}. {advice}", status=2)

    from webapp.embedded import launcher, postgres
    from webapp.embedded.addresses import AddressError, answers_well
    from webapp.embedded.console import say
    from webapp.embedded.prepare import prepare

    try:
        if chosen == "up":
            launcher.Launcher().run()
        elif chosen == "stop":
            say("Stopped." if launcher.stop_everything(data_dir) else "Nothing was running.")
        elif chosen == "status":
            for line in launcher.describe(data_dir):
                say(line)
        elif chosen == "database":
            say(f"PostgreSQL listens in {postgres.ensure_running(data_dir)}.")
        elif chosen == "prepare":
            prepare(sample=not options.without_sample)
        elif not answers_well("127.0.0.1", env_int("SITE_PORT", 8000), "/healthz", settings.ALLOWED_HOSTS):
            return _refuse("The web server does not answer.", status=1)
    except ImproperlyConfigured as error:
        return _refuse(str(error), status=2)
    except (AddressError, CommandError, launcher.LaunchError, PostgresError) as error:
        return _refuse(str(error), status=1)
    return 0


def _refuse(sentence: str, *, status: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
