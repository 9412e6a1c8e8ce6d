"""Keyholders in processes of their own, behind sockets: answers, refusals, and one that is killed."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from provenance.private_lookup import frames, tls
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import local_evaluator, offer
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, Refused
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.question import most_decrypted_bytes
from provenance.private_lookup.registry import Registry
from provenance.private_lookup.service import DistantKeyholder, RemoteKeyholder, serve
from tests.provenance.private_lookup.club import PASSPHRASES, Club, random_code

_SERVE = """
import sys
from pathlib import Path
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.service import serve
folder, phrase, catalogue, at, python = sys.argv[1:]
with Keyholder(Path(folder), phrase, registry=Path(catalogue), python=Path(python)) as keyholder:
    serve(keyholder, Path(at))
"""


class Served:
    """A keyholder's process."""

    def __init__(self, club: Club, name: str, registry: Registry, folder: Path) -> None:
        self.at = folder / f"{name}.socket"
        arguments = [club.folder / name, PASSPHRASES[name], registry.folder, self.at, club.python]
        self.process = subprocess.Popen([sys.executable, "-c", _SERVE, *arguments])
        self.remote = RemoteKeyholder(self.at, seconds=300)

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while not self._answers():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.at))
        except OSError:
            return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def registry(club: Club, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return club.registry(tmp_path_factory.mktemp("registry") / "of-test_service", [random_code(n) for n in range(4)])


@pytest.fixture
def served(club: Club, registry: Registry, tmp_path: Path) -> Iterator[list[Served]]:
    both = [Served(club, name, registry, tmp_path) for name in PASSPHRASES]
    try:
        for one in both:
            one.wait()
        yield both
    finally:
        for one in both:
            one.kill()


def test_questions_are_answered_and_a_killed_keyholder_stops_them(
    club: Club, registry: Registry, served: list[Served], tmp_path: Path
) -> None:
    remotes = [one.remote for one in served]
    with pytest.raises(Refused, match="Another process"):
        Keyholder(club.folder / "archive", PASSPHRASES["archive"], registry=registry.folder)
    offer(registry, remotes)
    query = club.asker().encrypt(random_code(2))
    clients = {club.client.name: club.client.public}
    evaluator = local_evaluator(registry, club.keys, club.engine, clients)
    assert club.asker().ask(query, Policy.BIT, registry, evaluator, remotes).matches

    def killing(question: bytes, seed: bytes) -> list[bytes]:
        os.kill(served[1].process.pid, signal.SIGKILL)
        served[1].process.wait()
        return list(evaluator(question, seed))

    with pytest.raises(KeyholderUnreachable, match=r"does not answer|went away"):
        club.asker().ask(query, Policy.BIT, registry, killing, remotes)
    served[1].at.unlink()
    again = Served(club, "museum", registry, tmp_path)
    served.append(again)
    again.wait()
    assert club.asker().ask(query, Policy.BIT, registry, evaluator, [remotes[0], again.remote]).matches


@contextmanager
def _serving(keyholder: Keyholder) -> Iterator[tuple[str, int]]:
    """Serve at an address of this machine."""
    stop, port = threading.Event(), queue.SimpleQueue[int]()
    thread = threading.Thread(target=serve, args=(keyholder, ("127.0.0.1", 0), stop, port.put))
    thread.start()
    try:
        yield "127.0.0.1", port.get(timeout=30)
    finally:
        stop.set()
        thread.join()


class _ThreeDaysAgo(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) - timedelta(days=3)


def test_between_machines_both_ends_are_proved(
    club: Club, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions are answered over TLS; who is not known, is another, or shows an old certificate, is refused."""
    stranger, parties = Identity.new("client"), club.agreement.parties
    with ExitStack() as stack:
        keyholders = [stack.enter_context(club.keyholder(party.name, registry)) for party in parties]
        places = [stack.enter_context(_serving(keyholder)) for keyholder in keyholders]
        both = list(zip(places, parties, strict=True))
        offer(registry, [DistantKeyholder(place, club.holder, party, 300) for place, party in both])
        distant = [DistantKeyholder(place, club.client, party, 300) for place, party in both]
        evaluator = local_evaluator(registry, club.keys, club.engine, {club.client.name: club.client.public})
        query = club.asker().encrypt(random_code(1))
        assert club.asker().ask(query, Policy.BIT, registry, evaluator, distant).matches

        client = distant[0]
        with pytest.raises(Refused, match="Only the catalogue's holder"):
            client.commit(registry.signed)
        with pytest.raises(Refused, match="Only the catalogue's holder"):
            client.admit([])
        with pytest.raises(KeyholderUnreachable, match="does not let client in"):
            DistantKeyholder(places[0], stranger, parties[0], 30).commit(b"")
        with pytest.raises(KeyholderUnreachable, match=r"is not museum\."):
            DistantKeyholder(places[0], club.client, parties[1], 30).commit(b"")
        late = Identity.new("late")
        keyholders[0].admit_client(late.public)
        real = tls._certificate

        def expired(issuer: str, subject: str, key: Ed25519PublicKey, *, ca: bool) -> x509.CertificateBuilder:
            with pytest.MonkeyPatch.context() as patch:
                if issuer == late.public.signing and not ca:
                    patch.setattr(tls, "datetime", _ThreeDaysAgo)
                return real(issuer, subject, key, ca=ca)

        monkeypatch.setattr(tls, "_certificate", expired)
        with pytest.raises(KeyholderUnreachable, match="EXPIRED"):
            DistantKeyholder(places[0], late, parties[0], 30).commit(b"")
        monkeypatch.undo()
        with pytest.raises(BadInput, match="missing"):
            DistantKeyholder(places[0], club.client, parties[0], 30).commit(b"")
    with pytest.raises(KeyholderUnreachable, match="does not answer"):
        distant[0].commit(b"")


def test_what_speaks_otherwise_is_refused_and_harms_nobody(club: Club, registry: Registry, tmp_path: Path) -> None:
    stop = threading.Event()
    at = tmp_path / "socket"
    with club.keyholder("archive", registry) as keyholder:
        thread = threading.Thread(target=serve, args=(keyholder, at, stop))
        thread.start()
        try:
            while not at.exists():
                time.sleep(0.01)
            assert at.stat().st_mode & 0o077 == 0
            remote = RemoteKeyholder(at, seconds=30)
            for noise in (b"GET / HTTP/1.1\r\n\r\n", b"", frames.pack({})[:7]):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(at))
                    connection.sendall(noise)
            for head, parts in (
                ({}, []),
                ({"do": "commit", "sizes": [2]}, [b"", b""]),
                ({"do": "agree", "sizes": [1]}, [b""]),
                ({"do": "reveal", "sizes": [-1]}, []),
                ({"do": "reveal", "sizes": "1"}, [b""]),
                ({"do": "answer", "sizes": [1, 5]}, [b""]),
            ):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(at))
                    with connection.makefile("rwb") as stream:
                        stream.write(frames.pack(head, parts))
                        stream.flush()
                        reply = frames.read(stream)
                assert reply is not None
                assert (reply[0]["ok"], reply[0]["error"]) == (False, "BadInput")
            # What is larger than any question, any nonces, or all shares and evaluations, is refused before it is sent.
            small, shares, blocks = 1 << 20, 2, len(registry.manifest.blocks)
            one = most_decrypted_bytes(club.agreement.scheme)
            for step, most in (
                ("commit", 2 * small),
                ("reveal", small),
                ("check", small),
                ("answer", small + (shares + blocks) * one),
                ("admit", small + shares * blocks * one),
                ("unknown", small),
            ):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(30)
                    connection.connect(str(at))
                    connection.sendall(frames.start({"do": step, "sizes": [1]}, [most + 1]))
                    with connection.makefile("rb") as answer:
                        reply = frames.read(answer)
                assert reply is not None
                assert (reply[0]["error"], f"limit of {most}." in reply[0]["message"]) == ("BadInput", True), step
            with pytest.raises(BadInput, match="over this step's limit"):
                remote.commit(bytes((1 << 21) + 1))
            with pytest.raises(BadInput, match="over this step's limit"):
                remote.admit([bytes(1 << 24)])
            with pytest.raises(BadInput, match="damaged"):
                remote.commit(bytes(1 << 21))
            with pytest.raises(BadInput, match="missing"):
                remote.commit(b"")
            with pytest.raises(BadInput, match="every keyholder"):
                remote.answer([], [])
        finally:
            stop.set()
            thread.join()
    with pytest.raises(KeyholderUnreachable, match="No such file"):
        remote.commit(b"")
