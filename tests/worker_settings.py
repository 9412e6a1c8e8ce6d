"""The tests' settings for a worker that runs beside a test, in a process of its own, on that test's data."""

import os
from pathlib import Path

from provenance.artwork import signature
from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE"]
MEDIA_ROOT = Path(os.environ["TEST_MEDIA"])
PRIVATE_DIR = Path(os.environ.get("TEST_PRIVATE", MEDIA_ROOT))
# As in the test's own process: see webapp/artworks/conftest.py.
signature._SCRYPT_COST = 2**4
