"""Ask: encrypt here, have it evaluated, collect the keyholders' shares, and read the answer that nobody else can.

The code never leaves this process in clear. What the answer tells, and to whom, is in ``docs/private-lookup.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from provenance.hashing.code import HashCode
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.engine import Engine, JointKeys
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, Refused
from provenance.private_lookup.identity import Identity, Message, PublicIdentity, read_signed, unseal
from provenance.private_lookup.index import Answer
from provenance.private_lookup.question import evaluate, joint_seed, read_question, write_question
from provenance.private_lookup.quorum import arranged, used_by
from provenance.private_lookup.registry import Manifest, Registry
from provenance.private_lookup.work import Evaluates


class AnsweringKeyholder(Protocol):
    """One keyholder's steps, here or behind a connection; see ``parties.Keyholder``, whose errors they raise."""

    def commit(self, request: bytes) -> bytes:
        """Begin."""

    def reveal(self, commits: Sequence[bytes]) -> bytes:
        """Return the nonce."""

    def check(self, reveals: Sequence[bytes]) -> bytes:
        """Return shares of what must be zero."""

    def answer(self, checks: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        """Return sealed shares of the answer."""

    def admit(self, checks: Sequence[bytes]) -> bytes:
        """Take a catalogue's state down as checked."""


# What evaluates: the signed question and the joint seed go in, one ciphertext for each block comes out.
Evaluator = Callable[[bytes, bytes], Sequence[bytes]]


class Step(StrEnum):
    """How far a question is."""

    AGREE = "agree"
    EVALUATE = "evaluate"
    ANSWER = "answer"


# Told each step before it begins; what it raises ends the question.
Report = Callable[[Step], None]


@dataclass(frozen=True)
class Asking:
    """A question on its way.

    Attributes:
        id: of the question.
        policy: what is asked.
        question: signed, for the evaluator and the keyholders.
        reply: opens the answer.
    """

    id: str
    policy: Policy
    question: bytes
    reply: X25519PrivateKey


# A keyholder and who it is.
_Present = tuple[PublicIdentity, AnsweringKeyholder]


class _Away(KeyholderUnreachable):
    """A keyholder does not answer, or went away in the middle."""

    def __init__(self, message: str, party: PublicIdentity) -> None:
        super().__init__(message)
        self.party = party


class Query:
    """A code, encrypted once for each kind of blocks. ``who`` is answered for the same query as ``bit`` before.

    Args:
        encrypt: encrypts the code for catalogues whose entries have so many slots.
    """

    def __init__(self, encrypt: Callable[[int], bytes]) -> None:
        self.ciphertext = cache(encrypt)


class Client:
    """Asks one private catalogue.

    Args:
        identity: known to the keyholders, as :meth:`parties.Keyholder.admit_client` was told.
        agreement: whose keys.
        keys: the joint keys; only the public one is needed for asking.
        engine: of this agreement's tag and parties; encrypts and fuses.
    """

    def __init__(self, identity: Identity, agreement: Agreement, keys: JointKeys, engine: Engine) -> None:
        self.identity = identity
        self.agreement = agreement
        self._keys = keys
        self._engine = engine

    def encrypt(self, code: HashCode) -> Query:
        """Encrypt a code.

        Raises:
            BadInput: it is of another algorithm or length than the catalogue's.
        """
        self.agreement.prove_code(code)
        return Query(partial(self._engine.encrypt_query, self._keys, code.bits))

    def ask(
        self,
        query: Query,
        policy: Policy,
        registry: Registry,
        evaluator: Evaluator,
        keyholders: Sequence[AnsweringKeyholder | None],
        report: Report = lambda _step: None,
    ) -> Answer:
        """Ask one question.

        Args:
            registry: the catalogue's present state; its manifest is enough.
            keyholders: all of them, in the agreement's order; None for one that is known to be away. Where not all are
                needed, the first that are there are asked; when one goes away, the question is asked anew of others.
            report: told each step before it begins; what it raises ends the question.

        Raises:
            BadInput: something that came is not what it should be.
            Refused: a keyholder does not answer; it says why.
            KeyholderUnreachable: too few are there.
        """
        began = time.perf_counter()
        manifest = registry.manifest
        if not manifest.blocks:
            return Answer(policy, False, (), 0, 0.0, time.perf_counter() - began, 0, 0, manifest.id)
        there = _there(self.agreement, keyholders)
        while True:
            asking = self.prepare(query, policy, manifest)
            try:
                answers = _relay(self.agreement, asking.question, asking.id, evaluator, there, report)
            except _Away as away:
                there = [one for one in there if one[0] != away.party]
                if len(there) < self.agreement.quorum:
                    raise
            else:
                return self.read(asking, manifest, answers, time.perf_counter() - began)

    def prepare(self, query: Query, policy: Policy, manifest: Manifest) -> Asking:
        """Write the signed question about a catalogue's state, for :func:`relay` to pass on, here or elsewhere."""
        reply = X25519PrivateKey.generate()
        question = write_question(
            self.identity,
            self.agreement,
            policy=policy,
            manifest=manifest.id,
            reply=reply.public_key().public_bytes_raw().hex(),
            query=query.ciphertext(manifest.group),
        )
        asked = read_question(question, self.agreement, {self.identity.name: self.identity.public}).id
        return Asking(asked, policy, question, reply)

    def read(self, asking: Asking, manifest: Manifest, answers: Sequence[bytes], seconds: float = 0.0) -> Answer:
        """Open what the keyholders answered, which nobody else can.

        Args:
            seconds: that it took, for the answer to say.

        Raises:
            BadInput: it is not what it should be.
        """
        agreement, policy = self.agreement, asking.policy
        opened = {}
        for data in answers:
            message = read_signed(data, "answer", agreement.digest, agreement.by_name)
            if message.fields.get("request") != asking.id:
                raise BadInput(f"{message.sender} answers another request.")
            opened[message.sender] = [unseal(asking.reply, box, bytes.fromhex(asking.id)) for box in message.parts]
        used = used_by(agreement.sub_keys, list(opened))
        expected = 1 if policy is Policy.BIT else len(manifest.blocks)
        values = [self._engine.fuse(parts) for parts in arranged(used, opened, expected)]
        places = []
        if policy is Policy.WHO:
            for number, (block, found) in enumerate(zip(manifest.blocks, values, strict=True)):
                alive = block.slots(agreement.scheme.ring, alive=True)
                places += [(number, int(slot)) for slot in np.flatnonzero((found == 0) & alive)]
        matches = bool(places) if policy is Policy.WHO else bool(values[0][0])
        return Answer(
            policy,
            matches,
            tuple(places),
            manifest.entries,
            # Several matches cancel each other in one of 65,537 questions.
            0.0 if policy is Policy.WHO or matches else 1 / 65537,
            seconds,
            len(asking.question) * (1 + len(answers)),
            sum(len(answer) for answer in answers),
            manifest.id,
        )


def relay(
    agreement: Agreement,
    question: bytes,
    question_id: str,
    evaluator: Evaluator,
    keyholders: Sequence[AnsweringKeyholder | None],
    report: Report = lambda _step: None,
) -> list[bytes]:
    """Take a signed question through all steps and return the keyholders' answers, sealed for whoever asked.

    Whoever relays learns nothing of the answer: it is the evaluator's place, or a site's between client and keyholders.

    Args:
        question_id: what :func:`question.read_question` says.
        keyholders, report: as :meth:`Client.ask`; a question that was begun cannot be taken to others.

    Raises:
        BadInput, Refused, KeyholderUnreachable: as :meth:`Client.ask`.
    """
    return _relay(agreement, question, question_id, evaluator, _there(agreement, keyholders), report)


def _relay(
    agreement: Agreement,
    question: bytes,
    question_id: str,
    evaluator: Evaluator,
    there: Sequence[_Present],
    report: Report,
) -> list[bytes]:
    present = there[: agreement.quorum]
    report(Step.AGREE)
    seed, reveals = _agree_on_seed(agreement, question, question_id, present)
    report(Step.EVALUATE)
    with ThreadPoolExecutor(1) as pool:
        evaluation = pool.submit(evaluator, question, seed)
        checks = _each(present, lambda keyholder: keyholder.check(reveals))
        outputs = evaluation.result()
    report(Step.ANSWER)
    return _each(present, lambda keyholder: keyholder.answer(checks, outputs))


class EncryptedIndex:
    """A catalogue that is encrypted under a joint key, as :class:`index.PrivateIndex`.

    Args:
        client: asks.
        registry: the catalogue; its manifest is enough where another machine evaluates.
        evaluator: see :func:`local_evaluator`.
        keyholders: all of them, in the agreement's order.
    """

    def __init__(
        self,
        client: Client,
        registry: Registry,
        evaluator: Evaluator,
        keyholders: Sequence[AnsweringKeyholder | None],
    ) -> None:
        self._client = client
        self._registry = registry
        self._evaluator = evaluator
        self._keyholders = keyholders

    @property
    def agreement(self) -> Agreement:
        """Whose keys."""
        return self._client.agreement

    @property
    def entries(self) -> int:
        """How many entries the state has that is asked about."""
        return self._registry.manifest.entries

    def ask(self, code: HashCode, *, who: bool = False) -> Answer:
        """See :meth:`index.PrivateIndex.ask`."""
        query = self._client.encrypt(code)
        answer = self._client.ask(query, Policy.BIT, self._registry, self._evaluator, self._keyholders)
        if who and answer.matches:
            answer = self._client.ask(query, Policy.WHO, self._registry, self._evaluator, self._keyholders)
        return answer


def local_evaluator(
    registry: Registry, keys: JointKeys, workers: Engine | Evaluates, clients: Mapping[str, PublicIdentity]
) -> Evaluator:
    """Return an evaluator that has the blocks and the joint keys, and no secret.

    Args:
        workers: what computes: one engine, ``work.LocalWorkers``, or ``work_ray.RayWorkers`` on other machines.
        clients: for whom it evaluates, by name.
    """

    def run(question: bytes, seed: bytes) -> list[bytes]:
        asked = read_question(question, registry.agreement, clients)
        circuit = registry.agreement.circuit(asked.policy)
        return evaluate(workers, keys, registry, asked.query, circuit, seed, registry.manifest.blocks)

    return run


def offer(registry: Registry, keyholders: Sequence[AnsweringKeyholder | None]) -> None:
    """Have all keyholders check a catalogue's present state; afterwards they answer questions about it.

    Args:
        keyholders: all of them, in the agreement's order. One that is away (None) needs an offer of its own later.

    Raises:
        Refused: a block is malformed, or the state is older than one that was checked.
    """
    agreement = registry.agreement
    there = _there(agreement, keyholders)
    for start in range(0, len(there), agreement.quorum):
        # The last few are joined by some that have checked already.
        present = sorted((there[start:] + there)[: agreement.quorum], key=there.index)
        _offer(registry, present)


def _offer(registry: Registry, present: Sequence[_Present]) -> None:
    agreement, offered = registry.agreement, registry.manifest.id
    _seed, reveals = _agree_on_seed(agreement, registry.signed, offered, present)
    checks = _each(present, lambda keyholder: keyholder.check(reveals))
    admitted = _each(present, lambda keyholder: keyholder.admit(checks))
    _in_order(agreement, "admit", offered, present, admitted)


def _there(agreement: Agreement, keyholders: Sequence[AnsweringKeyholder | None]) -> list[_Present]:
    """Return which keyholders are there.

    Raises:
        Refused: they are too few.
    """
    there = [(party, keyholder) for party, keyholder in zip(agreement.parties, keyholders, strict=False) if keyholder]
    if len(keyholders) != len(agreement.parties) or len(there) < agreement.quorum:
        which = "All" if agreement.needed is None else f"{agreement.needed} of"
        raise Refused(f"{which} {len(agreement.parties)} keyholders are needed; there are {len(there)}.")
    return there


def _agree_on_seed(
    agreement: Agreement, request: bytes, request_id: str, present: Sequence[_Present]
) -> tuple[bytes, list[bytes]]:
    """Return the joint seed of a request, and the keyholders' messages that reveal it."""
    commits = _each(present, lambda keyholder: keyholder.commit(request))
    reveals = _each(present, lambda keyholder: keyholder.reveal(commits))
    said = _in_order(agreement, "reveal", request_id, present, reveals)
    seed = joint_seed(request_id, [bytes.fromhex(str(message.fields["nonce"])) for message in said])
    return seed, reveals


def _each(present: Sequence[_Present], step: Callable[[AnsweringKeyholder], bytes]) -> list[bytes]:
    """Have all keyholders take a step at once: each computes on a machine of its own."""

    def one(party: PublicIdentity, keyholder: AnsweringKeyholder) -> bytes:
        try:
            return step(keyholder)
        except KeyholderUnreachable as problem:
            raise _Away(str(problem), party) from problem

    with ThreadPoolExecutor(len(present)) as pool:
        return list(pool.map(one, *zip(*present, strict=True)))


def _in_order(
    agreement: Agreement, kind: str, request_id: str, present: Sequence[_Present], data: Sequence[bytes]
) -> list[Message]:
    """Prove the keyholders' messages, in the agreement's order."""
    read = []
    for (party, _keyholder), one in zip(present, data, strict=True):
        message = read_signed(one, kind, agreement.digest, {party.name: party})
        if message.fields.get("request") != request_id:
            raise BadInput(f"{party.name} answers another request.")
        read.append(message)
    return read
