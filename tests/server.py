"""The PostgreSQL of the tests: one embedded server for all runs of a user, a database of its own for each run.

Making a server takes a second and starting one a tenth of it, so it stays in the temporary folder. Runs may
overlap: each holds a shared lock, and the one that finds itself the last stops the server.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from webapp.embedded import postgres

SERVER_HOME = Path(tempfile.gettempdir()) / f"provenance-tests-{os.geteuid()}"
# The process id of the run, which parallel workers inherit. It tells what a killed run left behind.
RUN = os.environ.setdefault("PROVENANCE_TEST_RUN", str(os.getpid()))
RUN_HOME = SERVER_HOME / f"run-{RUN}"
DATABASE = f"test_run_{RUN}"


@contextlib.contextmanager
def database_server() -> Iterator[None]:
    """Keep the tests' server running."""
    SERVER_HOME.mkdir(mode=0o711, exist_ok=True)
    descriptor = os.open(SERVER_HOME / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        postgres.ensure_running(SERVER_HOME, durable=False)
        remove_leftovers()
        yield
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            postgres.stop(SERVER_HOME)
    finally:
        os.close(descriptor)


def remove_leftovers() -> None:
    """Remove the databases and folders of runs that were killed."""
    host = str(postgres.socket_directory(SERVER_HOME))
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as connection:
        names = [name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()]
        for name in names:
            run = re.match(r"test_run_(\d+)", name)
            if run and not psutil.pid_exists(int(run[1])):
                statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                connection.execute(statement)
    for folder in SERVER_HOME.glob("run-*"):
        if not psutil.pid_exists(int(folder.name.removeprefix("run-"))):
            shutil.rmtree(folder, ignore_errors=True)


def main(command: list[str]) -> int:
    """Run a command of this Python with the tests' settings and server; return its exit status."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    with database_server():
        try:
            return subprocess.run([sys.executable, *command], env=environment, check=False).returncode
        finally:
            shutil.rmtree(RUN_HOME, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
