"""What every test may rely on: a database server, and a home of the run's own that is removed after it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.server import RUN, RUN_HOME, database_server


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """Have the database server up before Django makes the run's database, and until it is destroyed."""
    if settings.EMBEDDED:
        with database_server():
            yield
    else:
        yield


@pytest.hookimpl(tryfirst=True)  # Before xdist reads the groups; the folders' own hooks still come before this one.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share what their module makes in one of several parallel workers: two would make it twice."""
    for item in items:
        found = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
        if item.get_closest_marker("xdist_group") is None and any(one.scope == "module" for (*_, one) in found):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_unconfigure() -> None:
    """Remove the run's files, once its first process ends."""
    if os.getpid() == int(RUN):
        shutil.rmtree(RUN_HOME, ignore_errors=True)
