"""Two keyholders, a holder with a catalogue, and a client, as the toy parameters let them be made in a few seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from provenance.hashing.code import HashCode
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import Client, Query, local_evaluator
from provenance.private_lookup.engine import Engine, JointKeys
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.index import Answer
from provenance.private_lookup.joint_keys import read_keys
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.registry import Registry

ALGORITHM = "dinohash-house-v2"
TAU = 24
PASSPHRASES = {"archive": "correct horse", "museum": "battery staple"}


def make_agreement(folder: Path, holder: Identity) -> Agreement:
    """Make both keyholders' folders, have them agree, and return what they agreed to."""
    parties = tuple(Keyholder.create(folder / name, name, phrase) for name, phrase in PASSPHRASES.items())
    made = Agreement("toy-bgv-v1-96", ALGORITHM, TAU, tuple(Policy), parties, holder.public, daily_answers=1000)
    for name, phrase in PASSPHRASES.items():
        with Keyholder(folder / name, phrase) as keyholder:
            keyholder.agree(made)
    return made


_TAKE_PART = """
import sys, time
from pathlib import Path
from provenance.private_lookup.parties import Keyholder
folder, phrase, exchange, python = sys.argv[1:]
with Keyholder(Path(folder), phrase, python=Path(python)) as keyholder:
    while (missing := keyholder.generate(Path(exchange))) is not None:
        print(missing)
        time.sleep(0.1)
"""


def make_joint_keys(folder: Path, python: Path) -> dict[str, list[str]]:
    """Have both take part, each in a process of its own; return what each waited for, in order."""
    (folder / "exchange").mkdir()
    started = {}
    for name, phrase in PASSPHRASES.items():
        program = [sys.executable, "-c", _TAKE_PART, folder / name, phrase, folder / "exchange", python]
        started[name] = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    said = {name: process.communicate(timeout=300)[0].split("\n") for name, process in started.items()}
    assert [process.returncode for process in started.values()] == [0, 0]
    return {name: list(dict.fromkeys(filter(None, lines))) for name, lines in said.items()}


def code_at(code: HashCode, distance: int, seed: int = 0) -> HashCode:
    """Return a code so many bits away."""
    bits = np.unpackbits(np.frombuffer(code.bits, np.uint8))
    bits[np.random.default_rng(seed).choice(len(bits), distance, replace=False)] ^= 1
    return HashCode.from_array(code.algorithm, bits)


def random_code(seed: int) -> HashCode:
    return HashCode.from_array(ALGORITHM, np.random.default_rng(seed).integers(0, 2, 96))


@dataclass
class Club:
    """Everybody, with the engine that holder, client and evaluator share."""

    folder: Path
    agreement: Agreement
    holder: Identity
    client: Identity
    keys: JointKeys
    engine: Engine
    python: Path
    waited_for: dict[str, list[str]]

    def keyholder(self, name: str, registry: Registry) -> Keyholder:
        return Keyholder(self.folder / name, PASSPHRASES[name], registry=registry.folder, python=self.python)

    def registry(self, folder: Path, codes: Sequence[HashCode]) -> Registry:
        """Return a new catalogue, named as its folder is, with the entries e0, e1 and on."""
        made = Registry.create(folder, self.agreement, self.holder, folder.name)
        made.append([(f"e{n}", code.bits) for n, code in enumerate(codes)], self.holder, self.keys, self.engine)
        return made

    def asker(self) -> Client:
        return Client(self.client, self.agreement, self.keys, self.engine)

    def ask(self, query: Query, policy: Policy, registry: Registry, keyholders: Sequence[Keyholder]) -> Answer:
        """Ask about a state that the keyholders have checked."""
        evaluator = local_evaluator(registry, self.keys, self.engine, {self.client.name: self.client.public})
        return self.asker().ask(query, policy, registry, evaluator, keyholders)


def make_club(folder: Path, python: Path) -> Club:
    """Make everybody and the joint keys."""
    holder, client = Identity.new("holder"), Identity.new("client")
    agreement = make_agreement(folder, holder)
    waited_for = make_joint_keys(folder, python)
    for name, phrase in PASSPHRASES.items():
        with Keyholder(folder / name, phrase) as keyholder:
            keyholder.admit_client(client.public)
    engine = Engine(agreement.scheme, 2, agreement.digest, python=python)
    keys = read_keys(folder / "archive" / "keys", agreement)
    return Club(folder, agreement, holder, client, keys, engine, python, waited_for)
