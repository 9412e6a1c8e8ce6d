"""A keyholder behind a local socket or an address, and the same keyholder as those who ask see it.

The local socket is for one machine: whoever may write to it may ask. Between machines TLS proves both ends (see
``tls``): the keyholder by the key that the agreement names, whoever asks by the key of a client that was admitted, or
of the catalogue's holder. What is said is signed or sealed in itself too.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from provenance.private_lookup import calls, frames, tls
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, Refused
from provenance.private_lookup.identity import MOST_MESSAGE, Identity, PublicIdentity
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.question import most_decrypted_bytes, most_question_bytes

# Each step's groups of messages.
_STEPS = {"commit": 1, "reveal": 1, "check": 1, "answer": 2, "admit": 1}
_SECONDS_TO_SPEAK = 60.0
_SECONDS_TO_ANSWER = 1800.0
_MOST_CONNECTIONS = 16
# Commitments and nonces of all keyholders, and what is around ciphertexts.
_MOST_SMALL = 1 << 20
_log = logging.getLogger(__name__)

# A socket's path, or a host and a port.
Address = Path | tuple[str, int]


def serve(
    keyholder: Keyholder,
    at: Address,
    stop: threading.Event | None = None,
    ready: Callable[[int], None] = lambda _port: None,
) -> None:
    """Answer at a local socket or an address, one request after the other, until ``stop`` is set.

    Args:
        ready: told the port once connections are taken, 0 for a socket; a port of 0 is one that the system chooses.

    Raises:
        BadInput: the address cannot be listened at, or nothing was agreed yet.
    """
    room, turn = threading.BoundedSemaphore(_MOST_CONNECTIONS), threading.Lock()

    def take(connection: socket.socket) -> None:
        try:
            _answer(keyholder, connection, turn, proved=not isinstance(at, Path))
        # One who is not known, speaks no frames, or goes away, costs the others nothing but this.
        except (OSError, frames.FrameError) as problem:
            _log.warning("A connection was refused or ended: %s.", problem)
        finally:
            connection.close()
            room.release()

    with _listening(at) as listener:
        listener.settimeout(0.5)
        ready(0 if isinstance(at, Path) else listener.getsockname()[1])
        while stop is None or not stop.is_set():
            try:
                connection, _address = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(_SECONDS_TO_SPEAK)
            if room.acquire(blocking=False):
                threading.Thread(target=take, args=(connection,), daemon=True).start()
            else:
                connection.close()


@contextmanager
def _listening(at: Address) -> Iterator[socket.socket]:
    if isinstance(at, Path):
        at.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            before = os.umask(0o177)
            try:
                listener.bind(str(at))
            finally:
                os.umask(before)
            listener.listen()
            yield listener
        at.unlink(missing_ok=True)
        return
    try:
        listener = socket.create_server(at, backlog=_MOST_CONNECTIONS)
    except OSError as problem:
        raise BadInput(f"{at[0]}:{at[1]} cannot be listened at: {problem}.") from problem
    with listener:
        yield listener


def _answer(keyholder: Keyholder, connection: socket.socket, turn: threading.Lock, *, proved: bool) -> None:
    # At a local socket, whoever may write to it.
    offers = True
    if proved:
        known = [keyholder.agreement.holder, *keyholder.clients().values()]
        connection, signing = tls.accept(connection, keyholder.identity, known)
        offers = signing == keyholder.agreement.holder.signing
    with connection, connection.makefile("rwb") as stream:
        begun = frames.read_start(stream)
        if begun is None:
            return
        head, sizes = begun
        try:
            most = _most_bytes(head.get("do"), keyholder)
            if sum(sizes) > most:
                raise BadInput(f"{sum(sizes)} bytes are over this step's limit of {most}.")
        except BadInput as problem:
            calls.refuse(stream, problem)
            # A connection that is closed before everything was read may take the reply with it.
            frames.skip(stream, sum(sizes))
            return
        parts = list(frames.read_parts(stream, sizes))
        with turn:
            calls.answer(stream, lambda: _carry_out(keyholder, head, parts, offers))


def _most_bytes(step: object, keyholder: Keyholder) -> int:
    scheme = keyholder.agreement.scheme
    match step:
        case "commit":
            # A question, or a manifest, which is all head.
            return max(most_question_bytes(scheme), frames.MOST_HEAD + _MOST_SMALL)
        case "answer" | "admit":
            blocks, shares = len(keyholder.registry.manifest.blocks), len(keyholder.agreement.sub_keys)
            # All shares of a query's check, and every block's evaluation; or all shares of every block's check.
            count = shares + blocks if step == "answer" else shares * blocks
            return min(MOST_MESSAGE, _MOST_SMALL + count * most_decrypted_bytes(scheme))
        case _:
            return _MOST_SMALL


def _carry_out(keyholder: Keyholder, head: dict[str, Any], parts: list[bytes], offers: bool) -> bytes:
    step, sizes = head.get("do"), head.get("sizes")
    groups = _STEPS.get(step) if isinstance(step, str) else None
    if not isinstance(sizes, list) or len(sizes) != groups or any(type(size) is not int or size < 0 for size in sizes):
        raise BadInput("This is no step of a keyholder.")
    if sum(sizes) != len(parts) or (step == "commit" and sizes != [1]):
        raise BadInput("A step has too few messages, or too many.")
    match step:
        case "commit":
            return keyholder.commit(parts[0], offers=offers)
        case "reveal":
            return keyholder.reveal(parts)
        case "check":
            return keyholder.check(parts)
        case "answer":
            return keyholder.answer(parts[: sizes[0]], parts[sizes[0] :])
        case _:
            if not offers:
                raise Refused("Only the catalogue's holder offers a state.")
            return keyholder.admit(parts)


class RemoteKeyholder:
    """A keyholder at a local socket.

    Args:
        path: of its socket.
        seconds: how long a step may take.

    Every step raises what the keyholder raises, and KeyholderUnreachable where none answers.
    """

    def __init__(self, path: Path, seconds: float = _SECONDS_TO_ANSWER) -> None:
        self._name = f"The keyholder at {path}"
        self._path = path
        self._seconds = seconds

    def commit(self, request: bytes) -> bytes:
        """Begin."""
        return self._ask("commit", [request])

    def reveal(self, commits: Sequence[bytes]) -> bytes:
        """Return the nonce."""
        return self._ask("reveal", commits)

    def check(self, reveals: Sequence[bytes]) -> bytes:
        """Return shares of what must be zero."""
        return self._ask("check", reveals)

    def answer(self, checks: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        """Return sealed shares of the answer."""
        return self._ask("answer", checks, outputs)

    def admit(self, checks: Sequence[bytes]) -> bytes:
        """Take a catalogue's state down as checked."""
        return self._ask("admit", checks)

    def _ask(self, step: str, *groups: Sequence[bytes]) -> bytes:
        head = {"do": step, "sizes": [len(group) for group in groups]}
        with self._connected() as connection:
            stream = connection.makefile("rwb")
            try:
                return calls.ask(stream, self._name, head, [part for group in groups for part in group])
            finally:
                # What was still to be sent has nobody to read it.
                with suppress(OSError):
                    stream.close()

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(self._seconds)
            connection.connect(str(self._path))
        except OSError as problem:
            connection.close()
            raise KeyholderUnreachable(f"{self._name} does not answer: {problem}.") from problem
        with connection:
            yield connection


class DistantKeyholder(RemoteKeyholder):
    """A keyholder at an address, over TLS that proves both ends.

    Args:
        address: host and port.
        identity: who asks: an admitted client, or the catalogue's holder.
        keyholder: who must be there, as the agreement names it.
        seconds: how long a step may take.
    """

    def __init__(
        self,
        address: tuple[str, int],
        identity: Identity,
        keyholder: PublicIdentity,
        seconds: float = _SECONDS_TO_ANSWER,
    ) -> None:
        self._name = f"{keyholder.name} at {address[0]}:{address[1]}"
        self._address, self._identity, self._keyholder = address, identity, keyholder
        self._seconds = seconds

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with tls.connect(self._address, self._identity, self._keyholder, self._seconds) as connection:
            yield connection
