"""The site's settings with what makes tests quick and apart from a real site's data."""

import os
import tempfile
from pathlib import Path

# Set before the site's settings read it: tests never touch a real site's files.
os.environ.setdefault("PROVENANCE_HOME", tempfile.mkdtemp(prefix="provenance-tests-"))

from webapp.settings import *  # noqa: E402, F403
from webapp.settings import Q_CLUSTER, STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
SERVESTATIC_USE_FINDERS = True
CHECKS_PER_HOUR_VISITOR = CHECKS_PER_HOUR_USER = 100_000
Q_CLUSTER = {**Q_CLUSTER, "workers": 1}
MEDIA_ROOT = Path(os.environ["PROVENANCE_HOME"]) / "media"
