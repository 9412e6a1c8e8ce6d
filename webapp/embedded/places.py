"""Where the embedded PostgreSQL of a data folder lives. Nothing here starts or changes anything."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

# sockaddr_un.sun_path holds 108 bytes on Linux with the closing NUL (unix(7)).
_SOCKET_PATH_BYTES = 107
_SOCKET_NAME = ".s.PGSQL.5432"
# Literals, not the environment's temporary folder: every process must find the same socket.
_SHORT_FOLDER = Path("/tmp")  # noqa: S108  (its owner and mode are checked before use)
_REFUGE = Path("/var/lib/provenance")


@dataclass(frozen=True)
class Place:
    """The folders of one embedded server.

    Attributes:
        folder: everything of the server but, sometimes, its socket; traversable by the server's user.
        socket: the folder of the Unix socket, for its owner only; Django's HOST.
        reasons: sentences for people on why a folder is not below the data folder; mostly none.
    """

    folder: Path
    socket: Path
    reasons: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        """PGDATA. It comes into being in one step, so that where it exists it is whole."""
        return self.folder / "data"

    @property
    def socket_file(self) -> Path:
        return self.socket / _SOCKET_NAME


def place_of(data_dir: Path) -> Place:
    """Return where the embedded server of a data folder lives, by what stands on the disk now.

    Usually that is ``data_dir/postgres``. PostgreSQL refuses to run as root; root's server runs as a user of
    its own, who cannot enter folders such as /root, and then lives in /var/lib/provenance. A socket whose path
    is too long for the system lies in /tmp.
    """
    data_dir = Path(os.path.abspath(data_dir))
    usual = data_dir / "postgres"
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    refuge = _REFUGE / name
    folder, reasons = usual, []
    if os.geteuid() == 0 and not (usual / "data").is_dir():
        # Data once made in the refuge stay in use, also when somebody opens the folder's parents later.
        closed = _closed_parent(usual)
        if closed or (refuge / "data").is_dir():
            folder = refuge
            because = f"{closed} is closed to other users" if closed else "they were put there at the first start"
            reasons.append(f"The database's files are in {refuge}: {because}, and PostgreSQL does not run as root.")
    socket = folder / "socket"
    # A client takes a comma for the end of one host and the beginning of the next (libpq).
    if len(os.fsencode(socket / _SOCKET_NAME)) > _SOCKET_PATH_BYTES or "," in str(socket):
        socket = _SHORT_FOLDER / f"provenance-{name}"
        reasons.append(f"The database's socket is in {socket}: {folder} is too long for one, or has a comma.")
    return Place(folder, socket, tuple(reasons))


def socket_directory(data_dir: Path) -> Path:
    """Return the folder of the embedded server's socket: DATABASES["default"]["HOST"]. Starts nothing."""
    return place_of(data_dir).socket


def _closed_parent(path: Path) -> Path | None:
    """Return the first parent that other users may not enter; parents yet to be made will be open."""
    for parent in reversed(path.parents):
        try:
            mode = parent.stat().st_mode
        except FileNotFoundError:
            return None
        if not mode & stat.S_IXOTH:
            return parent
    return None
