"""The site's settings with what makes tests quick and apart from a real site's data."""

import os
from pathlib import Path

from tests.server import DATABASE, RUN_HOME, SERVER_HOME

# Set before the site's settings read it: tests never touch a real site's files.
os.environ.setdefault("PROVENANCE_HOME", str(RUN_HOME))
# Tests run in as many processes as there are cores: threads beside them would only wait for each other. Torch reads it
# when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a test wants more threads than there are processors, those that wait are not to keep one busy.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from webapp.embedded.postgres import socket_directory
from webapp.settings import *  # noqa: F403
from webapp.settings import DATABASES, EMBEDDED, Q_CLUSTER, STORAGES

if EMBEDDED:
    DATABASES["default"]["HOST"] = str(socket_directory(SERVER_HOME))
DATABASES["default"]["TEST"] = {"NAME": DATABASE}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
# Static files are listed anew for every client, and only the tests of a whole site ask for them.
SERVESTATIC_USE_STATIC_ROOT = False
# Parameters that take milliseconds and protect nothing.
PRIVATE_SCHEME = "toy-bgv-v1-{bits}"
CHECKS_PER_HOUR_VISITOR = CHECKS_PER_HOUR_USER = 100_000
Q_CLUSTER = {**Q_CLUSTER, "workers": 1}
MEDIA_ROOT = Path(os.environ["PROVENANCE_HOME"]) / "media"
