"""Joint keys without the parties' rounds, for tests of what is below them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from provenance.private_lookup.engine import Engine, FileName, JointKeys


def make_keys(engine: Engine, folder: Path) -> tuple[JointKeys, list[bytes]]:
    """Return the joint keys, in files, and each party's share of the secret."""
    _secret, seed = engine.share_keys(None)
    secrets, publics = zip(*(engine.share_keys(seed) for _party in range(engine.parties)), strict=True)
    first = engine.share_relin_first(secrets[0], None)
    joined = engine.join("relin_first", [first, *(engine.share_relin_first(secret, first) for secret in secrets[1:])])

    def keep(name: str, data: bytes) -> FileName:
        (folder / name).write_bytes(data)
        return FileName(folder / name, hashlib.sha256(data).hexdigest())

    automorphisms = {}
    for index in engine.scheme.automorphisms:
        lead = engine.share_automorphism(secrets[0], index, None)
        others = [engine.share_automorphism(secret, index, lead) for secret in secrets[1:]]
        automorphisms[index] = keep(f"automorphism-{index}", engine.join("automorphism", [lead, *others]))
    keys = JointKeys(
        keep("public", engine.join("public", publics)),
        keep("relin", engine.join("relin", [engine.share_relin(secret, joined) for secret in secrets])),
        automorphisms,
    )
    return keys, list(secrets)
