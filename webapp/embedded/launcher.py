"""Run the whole site on one machine until somebody stops it: database, worker, web server."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from django.conf import settings

from provenance.private_lookup import engine_setup
from provenance.private_lookup.errors import EngineUnavailable
from webapp.embedded import postgres
from webapp.embedded.addresses import answers_well, free_port, url_of
from webapp.embedded.children import Child, end_orphans
from webapp.embedded.console import say
from webapp.embedded.lock import LauncherLock
from webapp.embedded.waiting import within
from webapp.env import env_int, env_str, env_url
from webapp.private.meeting import KEYHOLDERS

_READY_SECONDS = 120
_FAILURES_BEFORE_READY = 3
_WEB_GRACE = 10.0
# A worker finishes what it has in hand; what takes longer is taken up again when the job's lease ends.
_WORKER_GRACE = 30.0


class LaunchError(RuntimeError):
    """The site cannot be brought up; the sentence says what to do."""


class _StoppedError(Exception):
    """Somebody asked for the end before the site was up."""


class _ForcedError(BaseException):
    """Somebody asked for the end a second time."""


def web_command(host: str, port: int) -> list[str]:
    """Return the web server's command line. The site itself knows which proxies to believe."""
    options = ["--no-access-log", "--no-proxy-headers", "--no-server-header", "--log-level", "warning"]
    address = ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", "5"]
    return [sys.executable, "-m", "uvicorn", "webapp.asgi:application", *address, *options]


class Launcher:
    """The order of things: an earlier start's leftovers, database, preparation, processes, a smoke check.

    The signals INT, TERM and HUP end it: the first lets everything finish, the second does not.
    """

    def __init__(self) -> None:
        self.data_dir = Path(settings.DATA_DIR)
        self._children: list[Child] = []
        self._environment: dict[str, str] = {}
        self._stopping: signal.Signals | None = None

    def run(self) -> None:
        """Bring the site up, serve until a signal comes, and end everything.

        Raises:
            AddressError, LaunchError, PostgresError: it cannot be brought up, or its database cannot be kept up.
                Everything that was started has been ended.
        """
        self._listen_to_signals()
        with _only_launcher(self.data_dir) as lock:
            try:
                try:
                    self._bring_up(lock)
                    self._serve()
                except _StoppedError:
                    pass
                finally:
                    self._end()
            except _ForcedError:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                self._end_at_once()

    def _listen_to_signals(self) -> None:
        def stop(number: int, _frame: FrameType | None) -> None:
            if self._stopping:
                raise _ForcedError
            self._stopping = signal.Signals(number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup the terminal's end is to be ignored, and stays so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, stop)

    def _bring_up(self, lock: LauncherLock) -> None:
        began = time.monotonic()
        left = end_orphans(self.data_dir)
        if left:
            say(f"Ended {left} processes that an earlier start had left running.")
        host = env_str("SITE_HOST", "127.0.0.1")
        wanted = env_int("SITE_PORT", 8000, minimum=1, maximum=65535)
        port = free_port(host, wanted)
        if port != wanted:
            say(f"Port {wanted} is taken, so it is {port}. SITE_PORT chooses another.")
        url = url_of(host, port)
        # What people upload and what is written to them is nobody else's on this machine.
        for name in ("media", "mail"):
            (self.data_dir / name).mkdir(mode=0o700, exist_ok=True)
        self._start_database()
        self._environment = {"SITE_URL": env_url("SITE_URL", url)}
        if self._step("prepare", [sys.executable, "-m", "webapp.embedded", "prepare"]) != 0:
            raise LaunchError("The site could not be prepared; the reason is above.")
        lock.tell(url)
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        self._start_keyholders()
        self._start_child("worker", [*manage, "worker"], grace=_WORKER_GRACE)
        self._start_child("web", web_command(host, port), grace=_WEB_GRACE)
        self._wait_until_ready(host, port)
        if self._step("check", [*manage, "smoke_check"]) != 0:
            say("The smoke check FAILED, see above. The site stays up so that you can look.")
        say(f"Ready in {time.monotonic() - began:.1f} s; files in {self.data_dir}; Ctrl-C stops everything.")
        say(f"Open {url}")

    def _start_database(self) -> None:
        if not settings.EMBEDDED:
            say("Using the database that DATABASE_URL names.")
            return
        began = time.monotonic()
        postgres.ensure_running(self.data_dir)
        for reason in postgres.status(self.data_dir).place.reasons:
            say(reason)
        say(f"PostgreSQL is up ({time.monotonic() - began:.1f} s).")
        self._check_stopped()

    def _start_keyholders(self) -> None:
        """Start the demonstration's keyholders, each with a folder of its own, where private catalogues can be had."""
        if not settings.PRIVATE_LOOKUP:
            return
        try:
            engine_setup.find()
        except EngineUnavailable as problem:
            say(f"Private catalogues are off: {problem}")
            return
        for name in KEYHOLDERS:
            command = [sys.executable, "-m", "webapp.embedded.keyholder", name, str(settings.PRIVATE_DIR)]
            self._start_child(name, command, grace=_WEB_GRACE)

    def _start_child(self, name: str, command: list[str], *, grace: float) -> Child:
        child = Child(name, command, data_dir=self.data_dir, environment=self._environment, grace=grace)
        self._children.append(child)
        child.start()
        return child

    def _step(self, name: str, command: list[str]) -> int:
        """Run a program to its end and return its exit status.

        Raises:
            _StoppedError: a signal came meanwhile; the program ends with the site.
        """
        step = self._start_child(name, command, grace=_WEB_GRACE)
        while (status := step.poll()) is None:
            self._check_stopped()
            for child in self._children:
                if child is not step:
                    child.watch()
            time.sleep(0.02)
        step.kill()
        self._children.remove(step)
        return status

    def _wait_until_ready(self, host: str, port: int) -> None:
        def ready() -> bool:
            self._check_stopped()
            for child in self._children:
                child.watch()
                if child.failures >= _FAILURES_BEFORE_READY:
                    raise LaunchError(f"The {child.name} keeps ending; its own words are above.")
            return answers_well(host, port, "/readyz", settings.ALLOWED_HOSTS)

        if not within(_READY_SECONDS, ready, every=0.1):
            raise LaunchError(f"The site did not get ready within {_READY_SECONDS} s; see above.")

    def _serve(self) -> None:
        look_at_database = 0.0
        while not self._stopping:
            for child in self._children:
                child.watch()
            if settings.EMBEDDED and time.monotonic() >= look_at_database:
                look_at_database = time.monotonic() + 2
                if postgres.status(self.data_dir).pid is None:
                    say("PostgreSQL is gone; it starts again.")
                    postgres.ensure_running(self.data_dir)
            time.sleep(0.1)

    def _end(self) -> None:
        if self._stopping:
            say(f"Stopping on {self._stopping.name}; work in hand is finished or handed back. Once more stops at once.")
        for child in self._children:
            child.ask_to_end()
        for child in self._children:
            child.wait_for_end()
        if settings.EMBEDDED:
            postgres.stop(self.data_dir)
        say("Stopped.")

    def _end_at_once(self) -> None:
        say("Stopping at once.")
        for child in self._children:
            child.kill()
        end_orphans(self.data_dir, grace=1)
        if settings.EMBEDDED:
            postgres.stop(self.data_dir, timeout=0)
        say("Stopped.")

    def _check_stopped(self) -> None:
        if self._stopping:
            raise _StoppedError


def stop_everything(data_dir: Path) -> bool:
    """End the launcher of a data folder, or what a killed one left; return whether there was anything.

    Raises:
        LaunchError: the launcher does not end.
        PostgresError: the database cannot be ended.
    """
    holder = LauncherLock(data_dir).holder()
    if holder is not None:
        say(f"Stopping the site of process {holder.pid}.")
        try:
            os.kill(holder.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        except PermissionError:
            raise LaunchError(f"Process {holder.pid} is another user's: stop it as that user or root.") from None
        if not within(_WORKER_GRACE + 60, lambda: LauncherLock(data_dir).holder() is None, every=0.2):
            raise LaunchError(f"Process {holder.pid} does not end; 'kill -9 {holder.pid}', then stop again.")
    ended = end_orphans(data_dir)
    stopped = postgres.stop(data_dir)
    return holder is not None or ended > 0 or stopped


def describe(data_dir: Path) -> list[str]:
    """Return sentences on what of the site of a data folder runs."""
    holder = LauncherLock(data_dir).holder()
    database = postgres.status(data_dir)
    return [
        f"The site is up at {holder.url or '...'} (process {holder.pid})." if holder else "The site is not up.",
        f"PostgreSQL runs as process {database.pid}." if database.pid else "PostgreSQL does not run.",
        f"The database's files are in {database.place.folder}.",
    ]


@contextlib.contextmanager
def _only_launcher(data_dir: Path) -> Iterator[LauncherLock]:
    lock = LauncherLock(data_dir)
    # Whoever merely asks who has it holds it for an instant.
    if not within(1, lock.take):
        holder = lock.holder()
        where = f" at {holder.url}" if holder and holder.url else ""
        raise LaunchError(f"The site of {data_dir} is up already{where}. 'make stop' stops it.")
    try:
        yield lock
    finally:
        lock.let_go()
