"""Shareholders between machines: what answers clients, the holder and the other two servers, and what asks them.

Everything goes over TLS that proves both ends (see ``tls``). For each computation every server opens a connection to
the one before it, on which it only sends: one that ends early ends the computation with a reason, at all three.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from provenance.private_lookup import calls, frames, tls
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, PrivateLookupError, Refused
from provenance.private_lookup.identity import Identity, read_signed
from provenance.private_lookup.scheme import SHARE_SERVERS
from provenance.private_lookup.shares.shareholder import Shareholder

Address = tuple[str, int]
_SECONDS_TO_SPEAK = 30.0
_SECONDS_TO_ANSWER = 600.0
# How long the others are waited for that say why, once one has said that it cannot.
_SECONDS_TO_EXPLAIN = 2.0
_SECONDS_TO_LOOK_AGAIN = 0.2
_MOST_CONNECTIONS = 64
_MOST_REQUEST, _MOST_STEP = 1 << 22, 1 << 28


class _Connection:
    """A connection and the one stream that it is read through, which may have read ahead."""

    def __init__(self, wrapped: ssl.SSLSocket) -> None:
        self._wrapped = wrapped
        self.stream: calls.Stream = wrapped.makefile("rwb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.close()

    def wait(self, seconds: float) -> None:
        """From now on wait so long for whatever comes next."""
        self._wrapped.settimeout(seconds)

    def ended(self) -> bool:
        """Whether the other, who has nothing to say on this connection, has closed it."""
        before = self._wrapped.gettimeout()
        self._wrapped.settimeout(0)
        try:
            return not self._wrapped.recv(1)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True
        finally:
            self._wrapped.settimeout(before)

    def abort(self) -> None:
        """End it for whoever waits for it."""
        with suppress(OSError):
            socket.socket.shutdown(self._wrapped, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close both."""
        with suppress(OSError):
            self.stream.close()
        self._wrapped.close()


class _Neighbours:
    """The two connections of one computation, as :class:`computation.Link`.

    All three send before they receive, more than a connection takes in at once; so sending has a thread of its own.
    """

    def __init__(self, before: _Connection, after: _Connection, names: tuple[str, str]) -> None:
        self._before = before
        self._after = after
        self._names = names
        self._sender = ThreadPoolExecutor(1)
        self._sent: deque[Future[None]] = deque()

    def send(self, data: bytes) -> None:
        """Send to the server before."""
        while self._sent and self._sent[0].done():
            self._sent.popleft().result()
        self._sent.append(self._sender.submit(self._send, frames.pack({}, [data])))

    def finish(self) -> None:
        """Wait until everything is sent."""
        while self._sent:
            self._sent.popleft().result()

    def close(self) -> None:
        """End, whatever is still to be sent."""
        if self._sent:
            self._before.abort()
        self._sender.shutdown(wait=False, cancel_futures=True)

    def _send(self, frame: bytes) -> None:
        try:
            self._before.stream.write(frame)
            self._before.stream.flush()
        except (OSError, ValueError) as problem:
            raise KeyholderUnreachable(f"{self._names[0]} went away in the middle. Ask anew.") from problem

    def receive(self, size: int) -> bytes:
        """Receive from the server after."""
        try:
            read = frames.read(self._after.stream, _MOST_STEP)
        except (OSError, frames.FrameError) as problem:
            raise KeyholderUnreachable(f"{self._names[1]} went away in the middle. Ask anew.") from problem
        if read is None:
            raise KeyholderUnreachable(f"{self._names[1]} gave up, or went away in the middle. Ask anew.")
        if [len(part) for part in read[1]] != [size]:
            raise BadInput(f"{self._names[1]} sent something else than the computation's next step.")
        return read[1][0]


class _Arrivals:
    """Connections from the server after us, until the computation that they are for takes them."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[float, _Connection]] = {}
        self._refused: dict[str, float] = {}
        self._changed = threading.Condition()

    def put(self, session: str, connection: _Connection) -> None:
        """Keep a connection; what nobody takes is closed in the end, and what we refused at once."""
        with self._changed:
            old = time.monotonic() - _SECONDS_TO_SPEAK
            for name in [name for name, (since, _other) in self._waiting.items() if since < old or name == session]:
                self._waiting.pop(name)[1].close()
            self._refused = {name: since for name, since in self._refused.items() if since > old}
            if session in self._refused:
                connection.close()
                return
            self._waiting[session] = (time.monotonic(), connection)
            self._changed.notify_all()

    def take(self, session: str, seconds: float) -> _Connection | None:
        """Return a computation's connection; None where it does not come in time."""
        with self._changed:
            self._changed.wait_for(lambda: session in self._waiting, seconds)
            found = self._waiting.pop(session, None)
        return found[1] if found else None

    def refuse(self, session: str) -> None:
        """Take no part in a computation: who waits for us is told by a closed connection, and tells the third."""
        with self._changed:
            self._refused[session] = time.monotonic()
            if session in self._waiting:
                self._waiting.pop(session)[1].close()


class Server:
    """One shareholder at its address.

    Args:
        shareholder: with its state loaded.
        addresses: of all three servers, in the agreement's order.
        listen: where to answer, if it is not what the others know.
        seconds: how long another server is waited for.

    Raises:
        BadInput: an address is missing.
    """

    def __init__(
        self,
        shareholder: Shareholder,
        addresses: Sequence[Address],
        listen: Address | None = None,
        seconds: float = _SECONDS_TO_SPEAK,
    ) -> None:
        parties = shareholder.agreement.parties
        if len(addresses) != len(parties):
            raise BadInput(f"There are {len(parties)} servers. Give the address of each, in the agreement's order.")
        place = parties.index(shareholder.identity.public)
        self.address = listen or addresses[place]
        self._shareholder = shareholder
        self._before, self._after = (parties[(place + step) % SHARE_SERVERS] for step in (-1, 1))
        self._address_before = addresses[place - 1]
        self._arrivals = _Arrivals()
        self._seconds = seconds
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def serve(self, stop: threading.Event | None = None, ready: Callable[[], None] | None = None) -> None:
        """Answer until ``stop`` is set.

        Args:
            ready: called once connections are taken.

        Raises:
            BadInput: the address cannot be listened at.
        """
        try:
            listener = socket.create_server(self.address, backlog=_MOST_CONNECTIONS)
        except OSError as problem:
            raise BadInput(f"{self.address[0]}:{self.address[1]} cannot be listened at: {problem}.") from problem
        with listener:
            listener.settimeout(0.5)
            if ready:
                ready()
            while stop is None or not stop.is_set():
                try:
                    plain, _address = listener.accept()
                except TimeoutError:
                    continue
                if not self._room.acquire(blocking=False):
                    plain.close()
                    continue
                threading.Thread(target=self._take, args=(plain,), daemon=True).start()

    def _take(self, plain: socket.socket) -> None:
        """Serve one connection. One who speaks otherwise, or goes away, costs the others nothing."""
        try:
            with suppress(OSError, frames.FrameError):
                plain.settimeout(_SECONDS_TO_SPEAK)
                agreement = self._shareholder.agreement
                known = [*agreement.parties, agreement.holder, *self._shareholder.clients().values()]
                wrapped, signing = tls.accept(plain, self._shareholder.identity, known)
                connection = _Connection(wrapped)
                kept = False
                try:
                    kept = self._speak(connection, signing)
                finally:
                    if not kept:
                        connection.close()
        finally:
            self._room.release()

    def _speak(self, connection: _Connection, signing: str) -> bool:
        """Carry out what is asked; return whether the connection is kept, for a computation."""
        request = frames.read(connection.stream, _MOST_REQUEST)
        if request is None:
            return False
        head, parts = request
        session = head.get("session")
        if head.get("do") == "join" and signing == self._after.signing and isinstance(session, str):
            connection.wait(self._seconds)
            self._arrivals.put(session, connection)
            return True
        calls.answer(connection.stream, lambda: self._carry_out(head, parts, signing))
        return False

    def _carry_out(self, head: dict[str, object], parts: list[bytes], signing: str) -> bytes:
        match head, parts:
            case {"do": "state"}, []:
                return self._shareholder.state()
            case {"do": "answer"}, [question]:
                return self._shareholder.answer(question, self)
            case {"do": "admit", "attempt": str(attempt)}, [manifest]:
                if signing != self._shareholder.agreement.holder.signing:
                    raise Refused("Only the catalogue's holder offers a state.")
                return self._shareholder.admit(manifest, attempt, self)
        raise BadInput("This is nothing that a shareholder does.")

    @contextmanager
    def join(self, session: str) -> Iterator[_Neighbours]:
        """Open what leads to both neighbours; see :class:`shareholder.Neighbourhood`."""
        names = self._before.name, self._after.name
        own = self._shareholder.identity
        try:
            with _Connection(tls.connect(self._address_before, own, self._before, self._seconds)) as before:
                try:
                    before.stream.write(frames.pack({"do": "join", "session": session}))
                    before.stream.flush()
                except OSError as problem:
                    raise KeyholderUnreachable(f"{names[0]} went away in the middle. Ask anew.") from problem
                after = self._wait(session, before)
                with after, closing(_Neighbours(before, after, names)) as both:
                    yield both
                    both.finish()
        except BaseException:
            self.refuse(session)
            raise

    def refuse(self, session: str) -> None:
        """Take no part in a computation."""
        self._arrivals.refuse(session)

    def _wait(self, session: str, before: _Connection) -> _Connection:
        deadline = time.monotonic() + self._seconds
        while (left := deadline - time.monotonic()) > 0:
            after = self._arrivals.take(session, min(left, _SECONDS_TO_LOOK_AGAIN))
            if after is not None:
                return after
            if before.ended():
                raise KeyholderUnreachable(f"{self._before.name} gave up, or went away in the middle. Ask anew.")
        raise KeyholderUnreachable(f"{self._after.name} did not join within {self._seconds:.0f} s. Ask anew.")


@dataclass(frozen=True)
class RemoteShareholders:
    """The three servers, as a client or the holder asks them.

    Attributes:
        identity: who asks.
        agreement: says who they are.
        addresses: theirs, in the agreement's order.
        seconds: how long one may take.
    """

    identity: Identity
    agreement: Agreement
    addresses: Sequence[Address]
    seconds: float = _SECONDS_TO_ANSWER

    def __post_init__(self) -> None:
        if len(self.addresses) != SHARE_SERVERS:
            raise BadInput(f"There are {SHARE_SERVERS} servers. Give the address of each, in the agreement's order.")

    def state(self) -> bytes:
        """Return the manifest that the first server answers about, signed by the holder. Raises what it raises."""
        return self._ask(0, {"do": "state"}, [], [])

    def answer(self, question: bytes) -> list[bytes]:
        """Have all three answer a question, and return their messages. Raises what one of them raises."""
        return self._all({"do": "answer"}, question)

    def admit(self, manifest: bytes) -> None:
        """Have all three check a catalogue's present state; afterwards they answer questions about it.

        Raises:
            BadInput: a server's shares are not those that the holder signed.
            Refused: the state is older than one that was checked.
            KeyholderUnreachable: one is not there, or went away in the middle.
        """
        said = self._all({"do": "admit", "attempt": os.urandom(32).hex()}, manifest)
        for party, message in zip(self.agreement.parties, said, strict=True):
            read_signed(message, "admit", self.agreement.digest, {party.name: party})

    def _all(self, head: Mapping[str, str], part: bytes) -> list[bytes]:
        opened: list[_Connection] = []
        with ThreadPoolExecutor(SHARE_SERVERS) as pool:
            try:
                asked = [pool.submit(self._ask, place, head, [part], opened) for place in range(SHARE_SERVERS)]
                wait(asked, return_when=FIRST_EXCEPTION)
                _raise_clearest(asked)
                return [one.result() for one in asked]
            finally:
                # Who still waits for the others has nothing to tell any more.
                for connection in opened:
                    connection.abort()

    def _ask(
        self, place: int, head: Mapping[str, str], parts: Sequence[bytes], opened: list[_Connection]
    ) -> bytes:
        peer = self.agreement.parties[place]
        wrapped = tls.connect(self.addresses[place], self.identity, peer, _SECONDS_TO_SPEAK)
        with _Connection(wrapped) as connection:
            opened.append(connection)
            connection.wait(self.seconds)
            return calls.ask(connection.stream, peer.name, dict(head), parts)


def _raise_clearest(asked: Sequence[Future[bytes]]) -> None:
    """Raise a problem, if there is one: a reason that one server gives, rather than that the others miss it."""
    if not any(one.done() and one.exception() for one in asked):
        return
    wait(asked, _SECONDS_TO_EXPLAIN)
    problems = [problem for one in asked if one.done() and (problem := one.exception())]
    problems.sort(key=lambda problem: isinstance(problem, KeyholderUnreachable))
    clearest = problems[0]
    if isinstance(clearest, PrivateLookupError):
        raise clearest
    raise RuntimeError("a server was asked and something else went wrong") from clearest
