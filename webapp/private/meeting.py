"""Where the site and the keyholders of this machine meet: a folder for each private catalogue, without secrets.

The site puts down what is agreed and which clients are admitted; each keyholder puts down who it is and how far it is,
and keeps its own folder elsewhere. What lies here is public or signed in itself. Nothing here needs Django: the
keyholders' own program reads it too.

``<catalogue>/agreement.json``           by the site, once all have said who they are
``<catalogue>/<name>.identity.json``     by each keyholder
``<catalogue>/<name>.state.json``        by each keyholder: how far it is, or what is wrong
``<catalogue>/exchange/``                the keyholders' messages while keys are made
``<catalogue>/keys/``                    the joint keys, by the first keyholder
``<catalogue>/clients/<name>.json``      by the site: whom the catalogue's holder admits
``<catalogue>/registry``                 by the site: where blocks and manifest are
``<catalogue>/forget``                   by the site: the catalogue is gone for good, and its shares may go too
``<name>.alive``                         touched by each keyholder while it runs
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.identity import PublicIdentity, write_whole

# Of the demonstration; the first leads.
KEYHOLDERS = ("archive", "museum")
# sockaddr_un.sun_path holds 108 bytes on Linux with the closing NUL (unix(7)).
_SOCKET_PATH_BYTES = 107
_SHORT_FOLDER = Path("/tmp")  # noqa: S108  (its owner and mode are checked before use)
_SECONDS_ALIVE = 20.0


@dataclass(frozen=True)
class State:
    """How far a keyholder is with one catalogue.

    Attributes:
        waiting: for what, while keys are made.
        keys: SHA-256 of the list of the joint keys, once they are made.
        problem: what is wrong, a sentence.
        forgotten: whether it deleted its share.
    """

    waiting: str = ""
    keys: str = ""
    problem: str = ""
    forgotten: bool = False


class Meeting:
    """One catalogue's folder.

    Args:
        place: the folder of all private catalogues of a site.
        catalogue: 32 hex digits.
    """

    def __init__(self, place: Path, catalogue: str) -> None:
        self.place = place
        self.catalogue = catalogue
        self.folder = place / "meeting" / catalogue
        self.exchange = self.folder / "exchange"
        self.keys = self.folder / "keys"

    def open(self, registry: Path) -> None:
        """Make the folder; keyholders begin once it is there."""
        for folder in (self.exchange, self.folder / "clients"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self.folder / "registry", os.fsencode(registry))

    @property
    def is_open(self) -> bool:
        """Whether keyholders may begin, or go on."""
        return (self.folder / "registry").exists() and not self.is_over

    @property
    def is_over(self) -> bool:
        """Whether the catalogue is gone for good."""
        return (self.folder / "forget").exists()

    def registry(self) -> Path:
        """Return where blocks and manifest are."""
        return Path(os.fsdecode((self.folder / "registry").read_bytes()))

    def introduce(self, identity: PublicIdentity) -> None:
        """Say who a keyholder is."""
        write_whole(self.folder / f"{identity.name}.identity.json", json.dumps(identity.to_dict()).encode())

    def identity(self, name: str) -> PublicIdentity | None:
        """Return who a keyholder is; None until it has said so.

        Raises:
            BadInput: what lies there is no identity of that name.
        """
        data = _read(self.folder / f"{name}.identity.json")
        if data is None:
            return None
        try:
            found = PublicIdentity.from_dict(json.loads(data))
        except ValueError as problem:
            raise BadInput(f"What {name} says of itself cannot be read.") from problem
        if found.name != name:
            raise BadInput(f"{name} says that it is {found.name}.")
        return found

    def agree(self, agreement: Agreement) -> None:
        """Put down what is agreed."""
        write_whole(self.folder / "agreement.json", agreement.to_json())

    def agreement(self) -> Agreement | None:
        """Return what is agreed; None until it is there."""
        data = _read(self.folder / "agreement.json")
        return None if data is None else Agreement.from_json(data)

    def admit(self, client: PublicIdentity) -> None:
        """Have the keyholders answer a client, from its next question on."""
        write_whole(self.folder / "clients" / f"{client.name}.json", json.dumps(client.to_dict()).encode())

    def clients(self) -> list[PublicIdentity]:
        """Return whom the holder admits."""
        files = sorted((self.folder / "clients").glob("*.json"))
        return [PublicIdentity.from_dict(json.loads(file.read_bytes())) for file in files]

    def tell(self, name: str, state: State) -> None:
        """Say how far a keyholder is."""
        write_whole(self.folder / f"{name}.state.json", json.dumps(asdict(state)).encode())

    def state(self, name: str) -> State:
        """Return how far a keyholder is."""
        data = _read(self.folder / f"{name}.state.json")
        return State() if data is None else State(**json.loads(data))

    def close(self) -> None:
        """Say that the catalogue is gone for good: keyholders delete their shares of its key."""
        if self.folder.exists():
            write_whole(self.folder / "forget", b"")

    def socket(self, name: str) -> Path:
        """Return where a keyholder answers; its folder is made, for this user alone.

        Raises:
            PermissionError: the folder is another's.
        """
        folder = self.place / "sockets"
        file = f"{name}-{self.catalogue[:12]}"
        if len(os.fsencode(folder / file)) > _SOCKET_PATH_BYTES:
            short = hashlib.sha256(os.fsencode(self.place)).hexdigest()[:12]
            folder = _SHORT_FOLDER / f"provenance-keyholders-{short}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(f"{folder} is not for this user alone. Remove it.")
        return folder / file


def meetings(place: Path) -> list[Meeting]:
    """Return all that there are."""
    return [Meeting(place, folder.name) for folder in sorted((place / "meeting").glob("*")) if folder.is_dir()]


def show_life(place: Path, name: str) -> None:
    """Say that a keyholder runs."""
    (place / "meeting").mkdir(mode=0o700, parents=True, exist_ok=True)
    (place / "meeting" / f"{name}.alive").touch()


def is_alive(place: Path, name: str) -> bool:
    """Return whether a keyholder ran a moment ago."""
    try:
        return (place / "meeting" / f"{name}.alive").stat().st_mtime > time.time() - _SECONDS_ALIVE
    except FileNotFoundError:
        return False


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
