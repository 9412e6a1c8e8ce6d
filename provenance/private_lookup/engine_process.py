"""The engine's own program: one context, its keys, its resident blocks, and one request after the other.

It ends when its socket does. It keeps nothing but caches: whatever a request needs is in it or in a file that it names
with its SHA-256, so that a new process answers what an ended one would have answered, but for the randomness that
encryption and key generation must have. Secret shares come with a request and are not kept after it.

Runs under the interpreter that has OpenFHE, with only the modules of this folder that say so; see ``engine``.
"""

from __future__ import annotations

import hashlib
import os
import resource
import socket
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from provenance.private_lookup import frames
from provenance.private_lookup.bgv import Bgv
from provenance.private_lookup.bgv_base import Malformed
from provenance.private_lookup.bgv_grouped import Grouped

PROTOCOL = 3
_Answer = tuple[dict[str, Any], list[bytes]]
_CHUNK = 1 << 20


class Engine:
    """Answers requests.

    Args:
        bgv: the context.
        grouped: for entries of many slots.
        most_blocks: how many blocks of entries of one slot stay in memory, or as many more smaller ones as are no
            larger; the one that was used longest ago goes first.
    """

    def __init__(self, bgv: Bgv, grouped: Grouped, most_blocks: int) -> None:
        self._bgv = bgv
        self._grouped = grouped
        self._most_columns = most_blocks * bgv.length
        self._blocks: OrderedDict[str, list[Any]] = OrderedDict()
        self._keys: dict[str, Any] = {}
        self._relin = ""
        # The last query: its digest and kind, and its expansion. Policies and blocks share it.
        self._query: tuple[tuple[str, int], list[Any]] | None = None

    def answer(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """Carry out one request.

        Raises:
            Malformed: bytes are not what they should be.
            OSError: a file cannot be read or written.
        """
        operation: Callable[..., _Answer] | None = getattr(self, f"do_{head['do']}", None)
        if operation is None:
            raise Malformed(f"no operation {head['do']}")
        return operation(head, parts)

    def do_share_keys(self, _head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[seed] or nothing -> [secret, public]."""
        return {}, self._bgv.share_keys(parts[0] if parts else None)

    def do_is_pair(self, _head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[secret, public] -> whether they belong together."""
        return {"pair": self._bgv.is_pair(*parts)}, []

    def do_share_relin_first(self, _head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[secret, first share] or [secret] -> [share]."""
        return {}, [self._bgv.share_relin_first(parts[0], parts[1] if len(parts) > 1 else None)]

    def do_share_automorphism(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[secret, first share] or [secret] -> [share]."""
        return {}, [self._bgv.share_automorphism(parts[0], head["index"], parts[1] if len(parts) > 1 else None)]

    def do_share_relin(self, _head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[secret, joined first round] -> [share]."""
        return {}, [self._bgv.share_relin(*parts)]

    def do_join(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """Shares in the parties' order -> [joint key]."""
        return {}, [self._bgv.join(head["kind"], parts)]

    def do_encrypt_query(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[packed code] -> its ciphertexts."""
        bits = np.unpackbits(np.frombuffer(parts[0], np.uint8))
        return {}, self._bgv.encrypt_query(self._public(head), bits, self._group(head))

    def do_encrypt_block(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[packed codes] -> a new file of ciphertexts, and its size and SHA-256."""
        packed = np.frombuffer(parts[0], np.uint8).reshape(-1, self._bgv.length // 8)
        offset, group = head["offset"], self._group(head)
        if offset + len(packed) > self._bgv.ring // group:
            raise Malformed("more rows than a block has places")
        base = None
        if head["base"]:
            path, sha256 = head["base"]
            base = map(self._bgv.fresh, self._columns(path, sha256, group))
        rows = self._bgv.encrypt_rows(self._public(head), np.unpackbits(packed, axis=1), group, offset, base)
        first = next(rows)
        digest, size = hashlib.sha256(), 0
        made = Path(head["path"])
        unfinished = made.with_name(f"{made.name}.unfinished")
        with unfinished.open("wb") as file:

            def write(data: bytes) -> None:
                nonlocal size
                file.write(data)
                digest.update(data)
                size += len(data)

            # Every ciphertext of a block has one size.
            write(frames.start({"tag": self._bgv.tag}, [len(first)] * (self._bgv.length // group)))
            write(first)
            for data in rows:
                write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(made)
        return {"sha256": digest.hexdigest(), "bytes": size}, []

    def do_read_query(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[query] -> nothing, if it is of fresh ciphertexts under these keys."""
        self._ciphertexts(head, parts[0])
        return {}, []

    def do_expand(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[query] -> nothing; what follows finds it taken apart."""
        self._expanded(head, parts[0])
        return {}, []

    def do_load(self, head: dict[str, Any], _parts: list[bytes]) -> _Answer:
        """Nothing -> nothing; what follows finds the block in memory."""
        self._block(head)
        return {}, []

    def do_evaluate(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[query, alive, seed] -> [one ciphertext for the block]."""
        query, alive, seed = parts
        columns = self._expanded(head, query)
        if self._group(head) > 1:
            polynomial = partial(self._grouped.spread, keys=self._evaluation_keys(head), circuit=head["circuit"])
        else:
            polynomial = partial(self._bgv.alone, head["circuit"]["program"])
        result = self._bgv.evaluate(
            columns,
            self._block(head),
            polynomial=polynomial,
            used=head["used"],
            alive=self._bitmap(alive),
            seed=seed,
            who=head["policy"] == "who",
        )
        return {}, [result]

    def do_check_query(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[query, seed] -> [ciphertext of zeros if the query is well-formed]."""
        query, seed = parts
        columns = self._expanded(head, query)
        differences = None
        if self._group(head) > 1:
            # What is taken apart is the same in every slot; these ciphertexts are as they were sent.
            differences = partial(self._grouped.differences, keys=self._evaluation_keys(head))
        return {}, [self._bgv.check(columns, np.ones(self._bgv.ring, bool), seed, differences)]

    def do_check_block(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[used slots, seed] -> [ciphertext of zeros if the block is well-formed]."""
        used, seed = parts
        self._evaluation_keys(head)
        slots = self._bitmap(used)
        if self._group(head) > 1:
            slots = self._grouped.all_slots(slots)
        return {}, [self._bgv.check(self._block(head), slots, seed)]

    def do_add(self, _head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """Evaluated ciphertexts -> [their sum]."""
        return {}, [self._bgv.add(parts)]

    def do_share_decryption(self, head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """[secret, ciphertext, common seed, own seed] -> [share]."""
        secret, ciphertext, common, own = parts
        share = self._bgv.share_decryption(
            secret, ciphertext, lead=head["lead"], mode=head["mode"], common=common, own=own
        )
        return {}, [share]

    def do_fuse(self, _head: dict[str, Any], parts: list[bytes]) -> _Answer:
        """Shares, the first party's first -> [uint32 little-endian numbers]."""
        return {}, [self._bgv.fuse(parts).astype("<u4").tobytes()]

    def do_status(self, _head: dict[str, Any], _parts: list[bytes]) -> _Answer:
        """Nothing -> resident blocks, by number and SHA-256, the process and its largest memory."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        said = {"blocks": len(self._blocks), "resident": list(self._blocks), "process": os.getpid()}
        return {**said, "peak_bytes": peak}, []

    def _public(self, head: dict[str, Any]) -> Any:
        return self._key(head["keys"]["public"], self._bgv.public_key)

    def _evaluation_keys(self, head: dict[str, Any]) -> dict[int, Any]:
        path, sha256 = head["keys"]["relin"]
        if self._relin != sha256:
            self._bgv.insert_relin(_proved(path, sha256))
            self._relin = sha256
        named = head["keys"]["automorphisms"]
        return {int(index): self._key(file, self._bgv.automorphism_key) for index, file in named.items()}

    def _key(self, file: Sequence[str], read: Callable[[bytes], Any]) -> Any:
        path, sha256 = file
        if sha256 not in self._keys:
            self._keys[sha256] = read(_proved(path, sha256))
        return self._keys[sha256]

    def _group(self, head: dict[str, Any]) -> int:
        group: int = head["group"]
        if group not in (1, self._grouped.group):
            raise Malformed(f"no entries of {group} slots")
        return group

    def _ciphertexts(self, head: dict[str, Any], query: bytes) -> list[Any]:
        """Read a query: one ciphertext, or for grouped entries several of one size, one after the other."""
        group = self._group(head)
        count = 1 if group == 1 else self._bgv.length // group
        size, rest = divmod(len(query), count)
        if rest:
            raise Malformed("a query of another size")
        return [self._bgv.fresh(query[size * n : size * (n + 1)]) for n in range(count)]

    def _expanded(self, head: dict[str, Any], query: bytes) -> list[Any]:
        keys = self._evaluation_keys(head)
        named = hashlib.sha256(query).hexdigest(), self._group(head)
        if self._query is None or self._query[0] != named:
            self._query = None
            columns = self._ciphertexts(head, query)
            self._query = named, columns if self._group(head) > 1 else self._bgv.expand(columns[0], keys)
        return self._query[1]

    def _block(self, head: dict[str, Any]) -> list[Any]:
        path, sha256 = head["block"]
        if sha256 in self._blocks:
            self._blocks.move_to_end(sha256)
        else:
            group = self._group(head)
            left = self._most_columns - self._bgv.length // group
            while self._blocks and sum(map(len, self._blocks.values())) > left:
                self._blocks.popitem(last=False)
            self._blocks[sha256] = [self._bgv.fresh(data) for data in self._columns(path, sha256, group)]
        return self._blocks[sha256]

    def _columns(self, path: str, sha256: str, group: int) -> Iterator[bytes]:
        """Read a block's ciphertexts one by one; all of it is proved before the first is believed."""
        with open(path, "rb") as file:
            _prove(file, path, sha256)
            file.seek(0)
            begun = frames.read_start(file)
            if begun is None or len(begun[1]) != self._bgv.length // group:
                raise Malformed(f"{path} is no block of this scheme")
            yield from frames.read_parts(file, begun[1])

    def _bitmap(self, data: bytes) -> npt.NDArray[np.bool_]:
        if len(data) * 8 != self._bgv.ring:
            raise Malformed("a bitmap that is not one bit a slot")
        return np.unpackbits(np.frombuffer(data, np.uint8)).astype(bool)


def _prove(file: BinaryIO, path: str, sha256: str) -> None:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise Malformed(f"{path} has another content than it was named with")


def _proved(path: str, sha256: str) -> bytes:
    data = Path(path).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Malformed(f"{path} has another content than it was named with")
    return data


def serve(connection: socket.socket) -> None:
    """Answer until the other end closes. The first request opens the context."""
    engine: Engine | None = None
    with connection, connection.makefile("rwb") as stream:
        while (request := frames.read(stream)) is not None:
            head, parts = request
            try:
                if head["do"] == "open":
                    settings = head["settings"]
                    bgv = Bgv(settings)
                    grouped = Grouped(bgv, settings["group"], settings["turns"], settings["neighbour"])
                    engine = Engine(bgv, grouped, head["most_blocks"])
                    said: dict[str, Any] = {"protocol": PROTOCOL}
                    made: list[bytes] = []
                elif engine is None:
                    raise Malformed("a request before the context was opened")
                else:
                    said, made = engine.answer(head, parts)
                reply, sent = {"ok": True, **said}, made
            except (Malformed, frames.FrameError) as problem:
                reply, sent = {"ok": False, "error": "bad input", "message": str(problem)}, []
            except MemoryError:
                # What lies half-done in a library that ran out of memory is not to be trusted.
                os._exit(3)
            except Exception as problem:  # noqa: BLE001 - OpenFHE's errors have no class in common.
                reply, sent = {"ok": False, "error": "failed", "message": f"{type(problem).__name__}: {problem}"}, []
            stream.write(frames.start(reply, [len(part) for part in sent]))
            for part in sent:
                stream.write(part)
            stream.flush()


def main() -> None:
    """Serve on the socket whose file descriptor is the first argument; the second bounds the memory, in bytes."""
    descriptor, memory = int(sys.argv[1]), int(sys.argv[2])
    # A dump would hold a share of the secret.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    # Where the other end is gone, nobody is left to be told.
    with suppress(ConnectionError):
        serve(socket.socket(fileno=descriptor))
