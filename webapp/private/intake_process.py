"""The trusted worker: a process for one upload, which hashes pictures, encrypts the hashes, and ends.

Pictures come through a pipe and are never written anywhere; neither are hashes in clear. The process writes no core
dump, says nothing but the names of what it took or refused, and its memory goes with it. It needs neither Django nor
the database.

In: a frame whose head has ``do`` (``append`` or ``compact``), ``folder``, ``keys``, ``names`` and ``most_pixels``, with
the parts identity (secret), agreement, and one picture for each name. Out: a frame whose head has ``taken`` (names),
``refused`` (name and reason) or ``problem``.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

from provenance.hashing.hasher import HASHERS
from provenance.images.decode import DecodeError, Limits, decode
from provenance.models.errors import ModelError
from provenance.private_lookup import frames
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.engine import Engine
from provenance.private_lookup.errors import BadInput, PrivateLookupError
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.joint_keys import read_keys
from provenance.private_lookup.registry import Registry

MOST_BYTES = 1 << 30


def main() -> None:
    """Do what the frame on standard input says."""
    # A dump would hold pictures and hashes.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = frames.read(sys.stdin.buffer, MOST_BYTES)
    assert request is not None, "whoever starts this sends a frame"
    try:
        said = _take(*request)
    except (PrivateLookupError, ModelError) as problem:
        said = {"problem": str(problem)}
    sys.stdout.buffer.write(frames.pack(said))


def _take(head: dict[str, Any], parts: list[bytes]) -> dict[str, Any]:
    identity, agreement = Identity.from_bytes(parts[0]), Agreement.from_json(parts[1])
    registry = Registry(Path(head["folder"]), agreement)
    compacting = head["do"] == "compact"
    blocks = registry.manifest.blocks
    present = {name: slot in block.deleted for block in blocks for slot, name in enumerate(registry.ids(block))}
    codes: dict[str, bytes] = {}
    refused = []
    for name, data in zip(head["names"], parts[2:], strict=True):
        if not compacting and name in present:
            why = (
                "It was deleted; encrypt what stays anew first."
                if present[name]
                else "It is in the catalogue already."
            )
            refused.append((name, why))
        elif name in codes:
            refused.append((name, "It came twice."))
        else:
            try:
                codes[name] = _code(data, agreement.algorithm, Limits(max_pixels=head["most_pixels"]))
            except (BadInput, DecodeError) as problem:
                refused.append((name, str(problem)))
    with Engine(agreement.scheme, len(agreement.sub_keys), agreement.digest) as engine:
        keys = read_keys(Path(head["keys"]), agreement)
        if compacting:
            _compact(registry, codes, identity, keys, engine)
        elif codes:
            registry.append(list(codes.items()), identity, keys, engine)
    return {"taken": list(codes), "refused": refused}


def _compact(registry: Registry, codes: dict[str, bytes], identity: Identity, keys: Any, engine: Engine) -> None:
    same = registry.agreement.scheme.group_for(registry.manifest.entries) == registry.manifest.group
    left = [
        name
        for block in registry.manifest.blocks
        if block.deleted or not same
        for slot, name in enumerate(registry.ids(block))
        if slot not in block.deleted
    ]
    if missing := [name for name in left if name not in codes]:
        names = ", ".join(missing[:5])
        raise BadInput(f"{len(missing)} pictures that stay are missing, such as {names}. Nothing was changed.")
    registry.compact(codes.__getitem__, identity, keys, engine)


def _code(data: bytes, algorithm: str, limits: Limits) -> bytes:
    (found,) = HASHERS[algorithm].hash([decode(data, limits).pixels])
    if not found.usable:
        raise BadInput("It is too plain to be told from others.")
    return found.code.bits


if __name__ == "__main__":
    main()
