"""A question and its evaluation: what the client signs, what seeds are drawn, what anyone with the blocks computes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Circuit, Policy
from provenance.private_lookup.engine import Engine, JointKeys
from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.identity import Identity, PublicIdentity, read_signed, sign
from provenance.private_lookup.registry import Block, Registry
from provenance.private_lookup.scheme import GROUPED, Scheme
from provenance.private_lookup.work import Evaluates, Job, Task, evaluate_here

KIND = "question"
# Around the numbers of one ciphertext, and around all of a question.
_AROUND = 1 << 16


@dataclass(frozen=True)
class Question:
    """What a client asks.

    Attributes:
        id: of this one question; asked again, it is another.
        client: who asks.
        policy: what is asked.
        manifest: id of the catalogue's state that it is asked about.
        reply: X25519 public key, hex, that the shares of the answer are sealed for.
        query: the encrypted code, for the catalogue's kind of blocks.
    """

    id: str
    client: str
    policy: Policy
    manifest: str
    reply: str
    query: bytes


def write_question(
    client: Identity, agreement: Agreement, *, policy: Policy, manifest: str, reply: str, query: bytes
) -> bytes:
    """Return a signed question."""
    fields = {"policy": str(policy), "manifest": manifest, "reply": reply, "nonce": os.urandom(16).hex()}
    return sign(client, KIND, agreement.digest, fields, (query,))


def read_question(data: bytes, agreement: Agreement, clients: Mapping[str, PublicIdentity]) -> Question:
    """Read a question.

    Raises:
        BadInput: it is none of this agreement's, or not from one of these clients.
    """
    message = read_signed(data, KIND, agreement.digest, clients)
    try:
        (query,) = message.parts
        policy, manifest, reply = (str(message.fields[name]) for name in ("policy", "manifest", "reply"))
        if len(bytes.fromhex(reply)) != 32:
            raise ValueError(reply)
        return Question(message.id, message.sender, Policy(policy), manifest, reply, query)
    except (KeyError, TypeError, ValueError) as problem:
        raise BadInput("A question has a field that is missing or has the wrong form.") from problem


def most_question_bytes(scheme: Scheme) -> int:
    """Return the largest size of a signed question: its ciphertexts and what is around them."""
    return scheme.columns(GROUPED) * (scheme.block_bytes // scheme.code_length + _AROUND) + _AROUND


def most_decrypted_bytes(scheme: Scheme) -> int:
    """Return the largest size of a ciphertext that is decrypted, or of a share of that."""
    return scheme.decrypted_bytes + _AROUND


def commitment(request: str, nonce: bytes) -> str:
    """Return what a keyholder says before it knows the others' nonces."""
    return hashlib.sha256(b"commitment" + bytes.fromhex(request) + nonce).hexdigest()


def joint_seed(request: str, nonces: Sequence[bytes]) -> bytes:
    """Return the seed that all keyholders drew together: none of them, and nobody else, could choose it."""
    return hashlib.sha256(b"seed" + bytes.fromhex(request) + b"".join(nonces)).digest()


def block_seed(seed: bytes, block: Block) -> bytes:
    """Return the seed of one block's masks or check."""
    return hashlib.sha256(seed + bytes.fromhex(block.sha256)).digest()


def evaluate(
    workers: Engine | Evaluates,
    keys: JointKeys,
    registry: Registry,
    query: bytes,
    circuit: Circuit,
    seed: bytes,
    blocks: Sequence[Block],
) -> list[bytes]:
    """Return one ciphertext for each of these blocks; whoever evaluates the same gets the same bytes."""
    ring = registry.agreement.scheme.ring
    job = Job(keys, query, circuit, registry.manifest.group)
    tasks = [Task(registry.file(block), block.slots(ring, alive=True), block_seed(seed, block)) for block in blocks]
    return evaluate_here(workers, job, tasks) if isinstance(workers, Engine) else workers.evaluate_blocks(job, tasks)


def to_decrypt(engine: Engine, policy: Policy, outputs: Sequence[bytes]) -> list[bytes]:
    """Return what is decrypted: for ``bit`` one sum over all blocks, for ``who`` every block's own."""
    return [engine.add(outputs)] if policy is Policy.BIT else list(outputs)
