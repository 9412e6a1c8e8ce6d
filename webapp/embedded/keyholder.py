"""A keyholder of the demonstration: a process and a folder of its own, and it agrees to whatever is proposed.

It protects nothing from whoever runs this machine, where all shares are. Organisations that keep a share in earnest run
``provenance keyholder`` on machines of their own, and read an agreement before they agree.

Usage: python -m webapp.embedded.keyholder NAME PLACE
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from provenance.private_lookup.errors import PrivateLookupError, Refused
from provenance.private_lookup.identity import PublicIdentity, write_whole
from provenance.private_lookup.joint_keys import keys_digest
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.service import serve
from webapp.private.meeting import Meeting, State, meetings, show_life

_LOOK_AGAIN = 0.3
_AGAIN_AFTER_A_PROBLEM = 10.0
# An engine holds gigabytes while it has a block in memory.
_REST_AFTER = 90.0


class Attending(Keyholder):
    """A keyholder that admits whom the catalogue's holder admits, and gives its memory back when nobody asks."""

    meeting: Meeting
    # One step at a time, whatever the catalogue: each keeps a processor and gigabytes busy.
    _busy = threading.Lock()
    # Whose engines may run.
    _awake: ClassVar[Attending | None] = None
    _evaluating = False
    _used = 0.0

    def __exit__(self, *problem: object) -> None:
        with self._busy:
            if Attending._awake is self:
                Attending._awake = None
            super().__exit__(*problem)

    def generate(self, exchange: Path) -> str | None:
        """Take part in the making of the joint keys."""
        with self._alone():
            waiting = super().generate(exchange)
            if waiting is None:
                # The engine that made the keys holds them all in memory.
                self._end_engines()
            return waiting

    def commit(self, request: bytes, *, offers: bool = True) -> bytes:
        """Begin; see :class:`Keyholder`."""
        with self._alone():
            self._admit()
            return super().commit(request, offers=offers)

    def check(self, reveals: Sequence[bytes]) -> bytes:
        """Return shares of what must be zero."""
        with self._alone():
            return super().check(reveals)

    def answer(self, checks: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        """Return sealed shares of the answer."""
        with self._alone():
            return super().answer(checks, outputs)

    def admit(self, checks: Sequence[bytes]) -> bytes:
        """Take a catalogue's new state down as checked."""
        with self._alone():
            return super().admit(checks)

    def rest(self) -> None:
        """End the engines where nobody asked for a while; the next question starts them."""
        idle = not self._evaluating and time.monotonic() - self._used > _REST_AFTER
        if idle and self._busy.acquire(blocking=False):
            try:
                self._end_engines()
            finally:
                self._busy.release()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Take a step; the engines of the catalogue before end, so that memory does not grow with catalogues.

        Raises:
            Refused: the catalogue is gone for good.
        """
        with self._busy:
            if self.meeting.is_over:
                raise Refused("This catalogue is gone for good.")
            before, Attending._awake = Attending._awake, self
            if before is not None and before is not self:
                before._end_engines()
            try:
                yield
            finally:
                self._used = time.monotonic()

    def _evaluate(self, *asked: Any) -> dict[int, bytes]:
        self._evaluating = True
        try:
            return super()._evaluate(*asked)
        finally:
            self._used, self._evaluating = time.monotonic(), False

    def _end_engines(self) -> None:
        """End them, once they have evaluated what is on its way."""
        if self._workers is not None:
            self._background.submit(self._workers.close).result()

    def _admit(self) -> None:
        known = self.clients()
        for client in self.meeting.clients():
            if client.name not in known:
                self.admit_client(client)


class Attendant(threading.Thread):
    """Takes part in one catalogue: introduces itself, agrees, makes keys, then answers until it is stopped."""

    def __init__(self, meeting: Meeting, name: str, passphrase: str) -> None:
        super().__init__(name=f"{name}-{meeting.catalogue[:8]}", daemon=True)
        self.meeting = meeting
        self.stop = threading.Event()
        self.ended = 0.0
        self.keyholder: Attending | None = None
        self._who, self._passphrase = name, passphrase
        self._folder = meeting.place / "keyholders" / name / meeting.catalogue

    def run(self) -> None:
        """Do it, and say what is wrong where it cannot be done."""
        try:
            self._attend()
        except (PrivateLookupError, OSError) as problem:
            self.meeting.tell(self._who, State(problem=str(problem)))
        finally:
            self.ended = time.monotonic()

    def forget(self) -> None:
        """Delete the share of a catalogue that is gone; once this has ended."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.meeting.socket(self._who).unlink(missing_ok=True)
        self.meeting.tell(self._who, State(forgotten=True))

    def _attend(self) -> None:
        meeting = self.meeting
        with suppress(Refused):
            # It is there already after a restart.
            Attending.create(self._folder, self._who, self._passphrase)
        with Attending(self._folder, self._passphrase, registry=meeting.registry()) as keyholder:
            keyholder.meeting = meeting
            public: PublicIdentity = keyholder.identity.public
            meeting.introduce(public)
            while (agreement := meeting.agreement()) is None:
                if self.stop.wait(_LOOK_AGAIN):
                    return
            keyholder.agree(agreement)
            while (missing := keyholder.generate(meeting.exchange)) is not None:
                meeting.tell(self._who, State(waiting=missing))
                if self.stop.wait(_LOOK_AGAIN):
                    return
            if agreement.parties[0] == public:
                _publish(self._folder / "keys", meeting.keys)
            meeting.tell(self._who, State(keys=keys_digest(self._folder / "keys")))
            self.keyholder = keyholder
            serve(keyholder, meeting.socket(self._who), self.stop)


def _publish(keys: Path, target: Path) -> None:
    """Let others have the joint keys, which are public; the list comes last."""
    target.mkdir(exist_ok=True)
    for file in sorted(keys.iterdir(), key=lambda file: file.suffix == ".json"):
        place = target / file.name
        if not place.exists():
            unfinished = place.with_name(f"{file.name}.unfinished")
            shutil.copyfile(file, unfinished)
            unfinished.replace(place)


def _passphrase(folder: Path) -> str:
    """Return this keyholder's passphrase, made at its first start; a real organisation types its own."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "passphrase"
    if not file.exists():
        write_whole(file, secrets.token_urlsafe(32).encode())
    return file.read_text()


def main(name: str, place: Path) -> None:
    """Attend to all catalogues, for ever."""
    parent = os.getppid()
    passphrase = _passphrase(place / "keyholders" / name)
    attendants: dict[str, Attendant] = {}
    # Nobody is left to be answered once whoever started this has gone.
    while os.getppid() == parent:
        show_life(place, name)
        for meeting in meetings(place):
            known = attendants.get(meeting.catalogue)
            if meeting.is_over:
                if known is not None and known.is_alive():
                    known.stop.set()
                elif not meeting.state(name).forgotten:
                    Attendant(meeting, name, passphrase).forget()
                    attendants.pop(meeting.catalogue, None)
            elif meeting.is_open and (known is None or _may_try_again(known)):
                attendants[meeting.catalogue] = Attendant(meeting, name, passphrase)
                attendants[meeting.catalogue].start()
            elif known is not None and known.keyholder is not None:
                known.keyholder.rest()
        time.sleep(_LOOK_AGAIN)


def _may_try_again(attendant: Attendant) -> bool:
    return not attendant.is_alive() and time.monotonic() - attendant.ended > _AGAIN_AFTER_A_PROBLEM


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
