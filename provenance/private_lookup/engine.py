"""The engine as others see it: bytes in, bytes out, over a socket to a process that may be killed at any time.

OpenFHE runs under another Python than this (see ``engine_setup``), so that the engine is a program of its own. Its
requests are repeatable: when the process ends in the middle of one, another is started and asked again, once.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from provenance.private_lookup import engine_setup, frames
from provenance.private_lookup.circuit import Circuit, Policy, Spread, spread_circuit
from provenance.private_lookup.errors import BadInput, EngineFailed
from provenance.private_lookup.scheme import ALONE, GROUPED, Scheme

PROTOCOL = 3
_FOLDER = Path(__file__).parent
# Only the modules of this folder can be imported there: neither the rest of the package nor its requirements.
_START = """
import sys, types
for name, places in (("provenance", []), ("provenance.private_lookup", [sys.argv.pop(1)])):
    module = types.ModuleType(name)
    module.__path__ = places
    sys.modules[name] = module
from provenance.private_lookup.engine_process import main
main()
"""
_GIGABYTE = 1 << 30
_BLOCKS_OF_WORK = 4
_BLOCKS = 2
_SECONDS_TO_END = 10
# Two stacks, which count though next to nothing of them is used, and what an operation works on.
_BYTES_OF_A_THREAD = 1 << 26


@dataclass(frozen=True)
class FileName:
    """A file and the SHA-256, 64 hex digits, that its content must have."""

    path: Path
    sha256: str

    def named(self) -> list[str]:
        """Return it as the engine is told."""
        return [str(self.path), self.sha256]


@dataclass(frozen=True)
class JointKeys:
    """The public part of the parties' keys, which everyone may have.

    Attributes:
        public: encrypts.
        relin: follows products.
        automorphisms: each by its index; they take queries apart.
    """

    public: FileName
    relin: FileName
    automorphisms: dict[int, FileName]

    def named(self, automorphisms: Iterable[int] = ()) -> dict[str, Any]:
        """Return them as the engine is told, with those ``automorphisms`` that it needs."""
        return {
            "public": self.public.named(),
            "relin": self.relin.named(),
            "automorphisms": {str(index): self.automorphisms[index].named() for index in automorphisms},
        }


@dataclass(frozen=True)
class Limits:
    """What an engine may use.

    Attributes:
        most_blocks: blocks that stay in memory, 0.6 GB each at 96 bits and full parameters (or as many small ones as
            are no larger); at least 1. By default what the memory has room for, or 2 where that is not given either.
        memory: bytes of memory, and a little for each thread, above which a request fails with a reason; by default
            what these blocks need.
        threads: processors kept busy by one request. On a machine that others use, more than 1 is slower.
    """

    most_blocks: int | None = None
    memory: int | None = None
    threads: int = 1

    def memory_for(self, scheme: Scheme) -> int:
        """Return the bytes that an engine of this scheme may use."""
        if self.memory is not None:
            return self.memory
        return work_memory(scheme) + self.blocks_for(scheme) * scheme.block_bytes

    def blocks_for(self, scheme: Scheme) -> int:
        """Return how many blocks of this scheme stay in memory."""
        if self.most_blocks is not None:
            return self.most_blocks
        if self.memory is None:
            return _BLOCKS
        return max(1, (self.memory - work_memory(scheme)) // scheme.block_bytes)


def work_memory(scheme: Scheme) -> int:
    """Return the bytes that an engine needs beside its resident blocks."""
    # A query taken apart is as large as a block, and is three times that while it is. Shares of keys, libraries and
    # encoded numbers fit into the rest.
    return _GIGABYTE + _BLOCKS_OF_WORK * scheme.block_bytes


class Engine:
    """One engine's process, started when it is first asked. Threads may share it; they wait for each other.

    Args:
        scheme: the parameters.
        parties: number of key shares.
        tag: names the joint keys; what was made under others is refused.
        limits: what it may use.
        python: the interpreter that has OpenFHE; found when left out.
    """

    def __init__(
        self, scheme: Scheme, parties: int, tag: str, limits: Limits | None = None, python: Path | None = None
    ) -> None:
        self.scheme = scheme
        self.parties = parties
        self.tag = tag
        self._limits = limits or Limits()
        self._python = python
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: Any = None
        self._killed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """The running process; None where there is none."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def kill(self) -> None:
        """End the process in the middle of what it does: whoever waits for it gets EngineFailed."""
        process = self._process
        self._killed = True
        if process is not None:
            process.kill()

    def share_keys(self, seed: bytes | None) -> tuple[bytes, bytes]:
        """Return a new share: secret and public.

        Args:
            seed: a public key whose random polynomial all shares have in common; None for a key of its own.
        """
        secret, public = self._ask("share_keys", [seed] if seed else ())[1]
        return secret, public

    def is_pair(self, secret: bytes, public: bytes) -> bool:
        """Tell whether a share's secret part belongs to its public part."""
        return bool(self._ask("is_pair", [secret, public])[0]["pair"])

    def share_relin_first(self, secret: bytes, first: bytes | None) -> bytes:
        """Return a party's first-round share of the relinearisation key.

        Args:
            first: the first party's; None for the first party itself.
        """
        return self._one("share_relin_first", [secret, first] if first else [secret])

    def share_automorphism(self, secret: bytes, index: int, first: bytes | None) -> bytes:
        """Return a party's share of the key of one automorphism; ``first`` is the first party's, as above."""
        return self._one("share_automorphism", [secret, first] if first else [secret], index=index)

    def share_relin(self, secret: bytes, joined: bytes) -> bytes:
        """Return a party's second-round share of the relinearisation key, from the joined first-round shares."""
        return self._one("share_relin", [secret, joined])

    def join(self, kind: str, shares: Sequence[bytes]) -> bytes:
        """Return the joint key of the shares, in the parties' order.

        Args:
            kind: ``public``, ``relin_first``, ``relin`` or ``automorphism``.
        """
        return self._one("join", shares, kind=kind)

    def encrypt_query(self, keys: JointKeys, code: bytes, group: int = ALONE) -> bytes:
        """Return the ciphertext of one packed code, or its several ciphertexts, for a catalogue of such a ``group``.

        Raises:
            BadInput: the code has another length.
        """
        self._check_rows(code, 1)
        return b"".join(self._ask("encrypt_query", [code], keys=keys.named(), group=group)[1])

    def encrypt_block(
        self,
        keys: JointKeys,
        codes: bytes,
        path: Path,
        base: tuple[FileName, int] | None = None,
        group: int = ALONE,
    ) -> tuple[FileName, int]:
        """Write the ciphertexts of packed codes, one row after the other, and return the file and its bytes.

        Args:
            base: a block that these rows are added to, and the places that it uses.
            group: slots of an entry, ``ALONE`` or ``GROUPED``.

        Raises:
            BadInput: there are no whole rows, none, or more than a block has places.
        """
        self._check_rows(codes, len(codes) * 8 // self.scheme.code_length, group)
        file, offset = base or (None, 0)
        named = {"base": file.named() if file else None, "offset": offset, "group": group}
        said, _parts = self._ask("encrypt_block", [codes], keys=keys.named(), path=str(path), **named)
        return FileName(path, said["sha256"]), said["bytes"]

    def read_query(self, query: bytes, group: int = ALONE) -> None:
        """Refuse what is no query under these keys.

        Raises:
            BadInput: it is none.
        """
        self._ask("read_query", [query], group=group)

    def expand(self, keys: JointKeys, query: bytes, group: int = ALONE) -> None:
        """Take a query apart ahead of what needs it. The last one that was is kept."""
        self._ask("expand", [query], **self._kind(keys, group))

    def load(self, block: FileName, group: int = ALONE) -> None:
        """Bring a block into memory ahead of what needs it."""
        self._ask("load", block=block.named(), group=group)

    def evaluate(
        self,
        keys: JointKeys,
        query: bytes,
        block: FileName,
        circuit: Circuit,
        *,
        alive: npt.NDArray[np.bool_],
        seed: bytes,
        group: int = ALONE,
    ) -> bytes:
        """Return the circuit's masked values over one block, encrypted; the same for the same arguments, anywhere.

        Args:
            alive: bool ``[ring]``: slots with an entry that was not deleted; the first one of each that has several.
            seed: the masks are drawn from it; every block needs one of its own.
            group: slots of an entry, in the block and in the query.
        """
        spread = None if group == ALONE else spread_circuit(circuit.policy, circuit.code_length, circuit.tau, group)
        return self._one(
            "evaluate",
            [query, np.packbits(alive).tobytes(), seed],
            block=block.named(),
            circuit={"id": circuit.digest, **(asdict(spread) if spread else {"program": circuit.program})},
            used=used_levels(spread or circuit, circuit.policy),
            policy=str(circuit.policy),
            **self._kind(keys, group),
        )

    def check_query(self, keys: JointKeys, query: bytes, seed: bytes, group: int = ALONE) -> bytes:
        """Return a ciphertext that decrypts to zeros if a query is nothing but +1 and -1, for all entries alike."""
        return self._one("check_query", [query, seed], **self._kind(keys, group))

    def check_block(
        self, keys: JointKeys, block: FileName, *, used: npt.NDArray[np.bool_], seed: bytes, group: int = ALONE
    ) -> bytes:
        """Return a ciphertext that decrypts to zeros if used slots hold +1 and -1, and the others 0."""
        parts = [np.packbits(used).tobytes(), seed]
        return self._one("check_block", parts, block=block.named(), **self._kind(keys, group))

    def use_threads(self, threads: int) -> None:
        """Keep so many processors busy from now on. OpenFHE counts them when it is loaded: the process begins anew."""
        if threads != self._limits.threads:
            self.close()
            self._limits = replace(self._limits, threads=threads)

    def add(self, ciphertexts: Sequence[bytes]) -> bytes:
        """Return the sum of evaluated ciphertexts."""
        return self._one("add", ciphertexts)

    def share_decryption(
        self, secret: bytes, ciphertext: bytes, *, lead: bool, mode: str, common: bytes = b"", own: bytes = b""
    ) -> bytes:
        """Return a party's share of a decryption. It has fresh noise: never release two for one ciphertext.

        Args:
            lead: whether this is the first party.
            mode: ``check``: the values as they are; ``bit``: the first coefficient, times a random number, and nothing
                else; ``who``: every slot, times a random number.
            common: secret of all parties that the random numbers are drawn from.
            own: secret of this party, that what covers the other coefficients is drawn from.
        """
        return self._one("share_decryption", [secret, ciphertext, common, own], lead=lead, mode=mode)

    def fuse(self, shares: Sequence[bytes]) -> npt.NDArray[np.uint32]:
        """Return what the shares of all parties, the first one's first, decrypt to: uint32 ``[ring]``."""
        return np.frombuffer(self._one("fuse", shares), "<u4")

    def status(self) -> dict[str, Any]:
        """Return how many ``blocks`` are ``resident``, ``peak_bytes`` of memory, and the ``process``."""
        return self._ask("status")[0]

    def _kind(self, keys: JointKeys, group: int) -> dict[str, Any]:
        return {"group": group, "keys": keys.named(self.scheme.needed(group))}

    def _check_rows(self, codes: bytes, rows: int, group: int = ALONE) -> None:
        most = self.scheme.entries(group)
        if not 1 <= rows <= most or len(codes) * 8 != rows * self.scheme.code_length:
            raise BadInput(f"{len(codes)} bytes are not 1 to {most} codes of {self.scheme.code_length} bits.")

    def _one(self, operation: str, parts: Sequence[bytes] = (), **said: Any) -> bytes:
        (made,) = self._ask(operation, parts, **said)[1]
        return made

    def _ask(self, operation: str, parts: Sequence[bytes] = (), **said: Any) -> tuple[dict[str, Any], list[bytes]]:
        """Ask the process, and once more where it has ended.

        Raises:
            BadInput: the engine refuses the bytes.
            EngineFailed: it ended twice, or cannot do it.
            EngineUnavailable: there is no interpreter for it.
        """
        with self._lock:
            for _attempt in range(2):
                if self._killed:
                    raise EngineFailed("The engine was ended.")
                try:
                    if self._stream is None:
                        self._begin()
                    reply = self._exchange({"do": operation, **said}, parts)
                    break
                except (OSError, frames.FrameError):
                    self._end()
            else:
                raise EngineFailed(f"The engine ended twice during '{operation}': too little memory, or bad bytes.")
        head, made = reply
        if head.pop("ok"):
            return head, made
        if head["error"] == "bad input":
            raise BadInput(f"The engine refuses what it was given: {head['message']}.")
        raise EngineFailed(f"The engine cannot do '{operation}': {head['message']}")

    def _exchange(self, head: dict[str, Any], parts: Sequence[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        self._stream.write(frames.start(head, [len(part) for part in parts]))
        for part in parts:
            self._stream.write(part)
        self._stream.flush()
        reply = frames.read(self._stream)
        if reply is None:
            raise frames.FrameError("the engine ended")
        return reply

    def _begin(self) -> None:
        python = self._python or engine_setup.find()
        ours, theirs = socket.socketpair()
        memory = self._limits.memory_for(self.scheme) + self._limits.threads * _BYTES_OF_A_THREAD
        arguments = [str(_FOLDER), str(theirs.fileno()), str(memory)]
        with theirs:
            self._process = subprocess.Popen(
                [python, "-I", "-c", _START, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": str(self._limits.threads)},
            )
        with ours:
            self._stream = ours.makefile("rwb")
        settings = {
            **asdict(self.scheme),
            "subring": self.scheme.subring,
            "leaves": self.scheme.leaves,
            "trace": self.scheme.trace,
            "expansion": self.scheme.expansion,
            "group": GROUPED,
            "turns": self.scheme.turns,
            "neighbour": self.scheme.neighbour,
            "parties": self.parties,
            "tag": self.tag,
            "threads": self._limits.threads,
        }
        opening = {"do": "open", "settings": settings, "most_blocks": self._limits.blocks_for(self.scheme)}
        head, _parts = self._exchange(opening, ())
        if not head["ok"] or head["protocol"] != PROTOCOL:
            self._end()
            raise EngineFailed(f"The engine cannot work with {self.scheme.id}: {head.get('message', 'other protocol')}")

    def _end(self) -> None:
        stream, process = self._stream, self._process
        self._stream = self._process = None
        if stream is not None:
            # What was still to be sent has nobody to read it.
            with suppress(OSError):
                stream.close()
        if process is not None:
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def used_levels(circuit: Circuit | Spread, policy: Policy) -> int:
    """Return the levels that a circuit takes with the similarity before it and, for ``who``, the mask after it."""
    return circuit.depth + 1 + (policy is Policy.WHO)
