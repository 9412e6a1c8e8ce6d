"""Three shareholders as processes of their own, a holder with a catalogue, and a client, over real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provenance.hashing.code import HashCode
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.scheme import shares_for
from provenance.private_lookup.shares.catalogue import Catalogue
from provenance.private_lookup.shares.index import SharedIndex
from provenance.private_lookup.shares.service import RemoteShareholders
from provenance.private_lookup.shares.shareholder import Shareholder

NAMES = ("archive", "museum", "library")
PASSPHRASE = "correct horse"
TAU = 24


_SERVE = """
import sys
from pathlib import Path
from provenance.private_lookup.shares.service import Server
from provenance.private_lookup.shares.shareholder import Shareholder
folder, phrase, shares, *ports = sys.argv[1:]
with Shareholder(Path(folder), phrase, shares=Path(shares)) as shareholder:
    shareholder.load()
    addresses = [("127.0.0.1", int(port)) for port in ports]
    Server(shareholder, addresses).serve(ready=lambda: print("ready", flush=True))
"""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at now."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


@dataclass
class House:
    """Everybody."""

    folder: Path
    agreement: Agreement
    holder: Identity
    client: Identity
    catalogue: Catalogue
    addresses: list[tuple[str, int]]
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Start servers; return when they take connections."""
        for name in names:
            ports = [str(port) for _host, port in self.addresses]
            program = [sys.executable, "-c", _SERVE, self.folder / name, PASSPHRASE, self.catalogue.folder / name]
            self.processes[name] = subprocess.Popen([*program, *ports], stdout=subprocess.PIPE, text=True)
        for name in names:
            stream = self.processes[name].stdout
            assert stream is not None
            assert stream.readline() == "ready\n"

    def kill(self, *names: str) -> None:
        for name in names:
            process = self.processes.pop(name)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()

    def remote(self, identity: Identity | None = None) -> RemoteShareholders:
        return RemoteShareholders(identity or self.client, self.agreement, self.addresses, seconds=60)

    def offer(self) -> None:
        self.remote(self.holder).admit(self.catalogue.signed)

    def index(self) -> SharedIndex:
        return SharedIndex(self.remote())


def make_house(folder: Path, codes: Sequence[HashCode], *, tau: int = TAU, daily_answers: int = 100_000) -> House:
    """Make everybody's folders and share out the codes, with the ids e0, e1 and on; nothing runs yet."""
    holder, client = Identity.new("holder"), Identity.new("client")
    parties = tuple(Shareholder.create(folder / name, name, PASSPHRASE) for name in NAMES)
    scheme = shares_for(codes[0].length)
    agreement = Agreement(scheme, codes[0].algorithm, tau, tuple(Policy), parties, holder.public, daily_answers)
    for name in NAMES:
        with Shareholder(folder / name, PASSPHRASE) as shareholder:
            shareholder.agree(agreement)
            shareholder.admit_client(client.public)
    catalogue = Catalogue.create(folder / "catalogue", agreement, holder, "pictures")
    catalogue.append([(f"e{n}", code.bits) for n, code in enumerate(codes)], holder)
    addresses = [("127.0.0.1", port) for port in free_ports(len(NAMES))]
    return House(folder, agreement, holder, client, catalogue, addresses)
