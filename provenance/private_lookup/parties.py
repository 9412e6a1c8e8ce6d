"""A keyholder: keeps a share, and gives parts of decryptions of nothing but what was agreed.

A question goes through four steps, and an offer of a catalogue's new state through the first three and a fourth of its
own. Every step's answer is signed.

1. *commit*: the request is proved, counted against its client's budget, and answered with a commitment to a nonce.
2. *reveal*: once all have committed, the nonce. Together the nonces are the seed of all masks and checks.
3. *check*: a share of the decryption of a random combination that is zero if, and nearly only if, the query (or every
   new block) holds nothing but +1 and -1.
4. *answer*: once the check of all shares is zero, and the evaluation, computed again here, has the same bytes as the
   evaluator's: the shares of the answer, sealed for the client. *admit*: the new state is taken down as checked.

Where t of n keyholders are enough (see ``quorum``), the first step's messages say which t take part.

A share is written to disk before it is given away; the same ciphertext gets the same share ever after. Before the
shares are made, the value is multiplied by random numbers that only keyholders know, so that an evaluator, who knows
the masks, learns no more from an answer than the client does.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from provenance.private_lookup import generation
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.engine import Engine, JointKeys, Limits
from provenance.private_lookup.errors import BadInput, Forgotten, Refused
from provenance.private_lookup.identity import Message, read_signed, seal, sign, write_whole
from provenance.private_lookup.joint_keys import keys_digest, read_keys
from provenance.private_lookup.member import Member
from provenance.private_lookup.question import (
    Question,
    block_seed,
    commitment,
    evaluate,
    joint_seed,
    read_question,
    to_decrypt,
)
from provenance.private_lookup.quorum import arranged, used_by
from provenance.private_lookup.registry import Block, Manifest, Registry, read_manifest
from provenance.private_lookup.work import LocalWorkers

_NONCE = 32
_MOST_SESSIONS = 64
# In 24 hours, of all states that bring blocks to check and were not admitted: each try passes a false block with a
# chance of 1 in 65,537. A state that passes is no such try, so that a large catalogue may come in many pieces.
_MOST_FAILED_OFFERS = 20
# In 24 hours, of all states: each costs a check and a line of the journal.
_MOST_OFFERS = 1000


@dataclass
class _Session:
    """One request on its way.

    Attributes:
        request: the question, or the manifest that is offered.
        blocks: what is evaluated or, in an offer, checked.
        nonce: ours.
        commitments: of all keyholders that take part, by name, once they are known.
        seed: once all nonces are known.
        checks: the ciphertexts whose decryption must be zero.
        evaluation: numbers of blocks and what we compute of them, on its way since the check.
        outputs: digest of the evaluation that we gave shares of; there is one at most.
    """

    id: str
    request: Question | Manifest
    blocks: tuple[Block, ...]
    nonce: bytes
    commitments: dict[str, str]
    seed: bytes = b""
    checks: tuple[bytes, ...] = ()
    evaluation: Future[dict[int, bytes]] | None = None
    outputs: str = ""


class Keyholder(Member):
    """One keyholder, from its folder. One process at a time uses a folder.

    Args:
        folder: as :meth:`create` made it.
        passphrase: opens it.
        registry: folder of the catalogue's blocks and manifest; for answering.
        recomputed: of how many blocks, chosen at random, the evaluation of a ``bit`` is computed again before a share
            is given; None for all of them. Of a ``who`` all are, always.
        limits: of the engines; with more than one thread, as many processes as that share blocks.
        python: the engine's interpreter; found when left out.

    Raises:
        BadInput: the folder holds no keyholder, or its journal was altered.
        Refused: another process uses it.
        WrongPassphrase: it does not open.
        ValueError: ``recomputed`` is under 1.
    """

    role = "keyholder"

    def __init__(
        self,
        folder: Path,
        passphrase: str,
        *,
        registry: Path | None = None,
        recomputed: int | None = None,
        limits: Limits | None = None,
        python: Path | None = None,
    ) -> None:
        if recomputed is not None and recomputed < 1:
            raise ValueError("a keyholder computes at least one block again")
        super().__init__(folder, passphrase)
        self._registry_folder = registry
        self._recomputed = recomputed
        self._limits, self._python = limits, python
        self._workers: LocalWorkers | None = None
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._released = folder / "released"
        self._released.mkdir(mode=0o700, exist_ok=True)
        # Of requests that ended with the process before.
        self._drop_shares("*")
        self._background = ThreadPoolExecutor(1)

    def __exit__(self, *problem: object) -> None:
        self._background.shutdown(cancel_futures=True)
        if self._workers is not None:
            self._workers.close()
        super().__exit__(*problem)

    @property
    def registry(self) -> Registry:
        """The catalogue's present state.

        Raises:
            BadInput: there is none.
        """
        if self._registry_folder is None:
            raise BadInput(f"{self.identity.name} was not told where the catalogue's blocks are.")
        return Registry(self._registry_folder, self.agreement)

    # Before there are keys.

    def generate(self, exchange: Path) -> str | None:
        """Take part in the making of the joint keys; see :func:`generation.take_part`."""
        waiting = generation.take_part(
            self.identity, self.agreement, self._vault, self.folder, exchange, self._engine_of(self.agreement)
        )
        if waiting is None and not self._has("generated"):
            self.journal.append("generated", keys=keys_digest(self.folder / "keys"))
        return waiting

    # The four steps.

    def commit(self, request: bytes, *, offers: bool = True) -> bytes:
        """Begin with a question, or with the holder's manifest as an offer.

        Args:
            offers: whether whoever sends it may offer a state.

        Raises:
            BadInput: it is neither, or its sender is not known.
            Refused: it asks for what was not agreed to, about a state that was not checked, or too often.
        """
        session = self._begin(request, offers)
        self._end(session.id)
        self._sessions[session.id] = session
        while len(self._sessions) > _MOST_SESSIONS:
            self._end(next(iter(self._sessions)))
        ours = commitment(session.id, session.nonce)
        return self._say("commit", {"request": session.id, "commitment": ours})

    def reveal(self, commits: Sequence[bytes]) -> bytes:
        """Return our nonce, now that all are bound to theirs.

        Raises:
            Refused: too many states were offered in 24 hours, or too many that did not pass.
        """
        session, messages = self._step("commit", commits)
        commitments = {name: str(message.fields.get("commitment")) for name, message in messages.items()}
        if session.commitments and session.commitments != commitments:
            raise self._refuse(session, "other commitments than before")
        if not session.commitments and isinstance(session.request, Manifest):
            self._count_offer(session)
        session.commitments = commitments
        return self._say("reveal", {"request": session.id, "nonce": session.nonce.hex()})

    def check(self, reveals: Sequence[bytes]) -> bytes:
        """Return our shares of what must decrypt to zero."""
        session, messages = self._step("reveal", reveals)
        present = self._in_order(messages)
        try:
            nonces = [bytes.fromhex(str(messages[name].fields["nonce"])) for name in present]
        except (KeyError, ValueError) as problem:
            raise BadInput("A reveal has a field that is missing or has the wrong form.") from problem
        for name, nonce in zip(present, nonces, strict=True):
            if session.commitments.get(name) != commitment(session.id, nonce):
                raise self._refuse(session, f"{name} revealed another nonce than it had committed to")
        session.seed = joint_seed(session.id, nonces)
        session.checks = tuple(self._checks(session))
        shares = self._shares(session, session.checks, "check")
        if isinstance(session.request, Question) and session.evaluation is None:
            # The evaluator is at it too: whoever asks waits for the slowest, and not for one after the other.
            session.evaluation = self._background.submit(self._evaluate, session, session.request)
        return self._say("check", {"request": session.id}, shares)

    def answer(self, checks: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        """Return our shares of the answer, sealed for the client.

        Args:
            checks: what all keyholders returned in the last step.
            outputs: the evaluator's ciphertexts, one for each block.
        """
        session = self._prove_zero(checks)
        question = session.request
        if not isinstance(question, Question):
            raise self._refuse(session, "an offer has no answer")
        if len(outputs) != len(session.blocks):
            raise self._refuse(session, "the evaluation is not of every block")
        if session.evaluation is None:
            raise Refused("The answer is asked for before the check was made.")
        ours = session.evaluation.result()
        if any(outputs[number] != output for number, output in ours.items()):
            raise self._refuse(session, "the evaluation is not what was agreed: its bytes are not ours")
        given = hashlib.sha256(b"".join(hashlib.sha256(output).digest() for output in outputs)).hexdigest()
        if session.outputs not in ("", given):
            raise self._refuse(session, "another evaluation of this question was answered already")
        # Asked again, the same gets the same shares; where only some blocks were computed again, others may be false.
        session.outputs = given
        engine = self._engine_of(self.agreement)
        ciphertexts = to_decrypt(engine, question.policy, outputs)
        shares = self._shares(session, ciphertexts, str(question.policy))
        self.journal.append(
            "released",
            question=question.id,
            client=question.client,
            ciphertexts=[hashlib.sha256(ciphertext).hexdigest() for ciphertext in ciphertexts],
            recomputed=len(ours),
        )
        sealed = tuple(seal(question.reply, share, bytes.fromhex(question.id)) for share in shares)
        return self._say("answer", {"request": session.id, "journal": self.journal.last_hash}, sealed)

    def admit(self, checks: Sequence[bytes]) -> bytes:
        """Take down a catalogue's new state as checked: from now on questions about it are answered, and no older."""
        session = self._prove_zero(checks)
        manifest = session.request
        if not isinstance(manifest, Manifest):
            raise self._refuse(session, "a question is no offer")
        self.journal.append(
            "admitted",
            manifest=manifest.id,
            catalogue=manifest.catalogue,
            sequence=manifest.sequence,
            # Those that were checked; what the state has besides stands in earlier lines.
            blocks=[[block.sha256, block.used] for block in session.blocks],
        )
        self._end(session.id)
        return self._say("admit", {"request": session.id, "journal": self.journal.last_hash})

    # What the steps are made of.

    def _begin(self, request: bytes, offers: bool) -> _Session:
        nonce = os.urandom(_NONCE)
        try:
            question = read_question(request, self.agreement, self.clients())
        except BadInput as not_a_question:
            try:
                manifest = read_manifest(request, self.agreement)
            except BadInput:
                raise not_a_question from None
            if not offers:
                raise Refused("Only the catalogue's holder offers a state.") from None
            states, seen = self._admitted()
            sequence, known = states.get(manifest.catalogue, (-1, ""))
            if manifest.id != known and manifest.sequence <= sequence:
                raise Refused(f"State {manifest.sequence} is offered after state {sequence} was checked.") from None
            # Where not all take part, another may have seen less than we have.
            every = self.agreement.needed is not None
            new = tuple(block for block in manifest.blocks if every or (block.sha256, block.used) not in seen)
            return _Session(manifest.id, manifest, new, nonce, {})
        manifest = self._tools()[2].manifest
        present = self._admitted()[0].get(manifest.catalogue)
        if present != (manifest.sequence, manifest.id) or question.manifest != manifest.id:
            raise Refused("The question is not about the catalogue's present, checked state.")
        self.agreement.circuit(question.policy)
        query = hashlib.sha256(question.query).hexdigest()
        self._count(question.id, question.client, question.policy, question.manifest, query)
        self._engine_of(self.agreement).read_query(question.query, manifest.group)
        return _Session(question.id, question, manifest.blocks, nonce, {})

    def _count_offer(self, session: _Session) -> None:
        """Take an offer down before its seed is known: of many seeds, one would hide a false block."""
        every, failed = self._offers()
        if every >= _MOST_OFFERS:
            raise self._refuse(session, f"{every} states were offered in 24 hours, which is all that may be")
        if not session.blocks:
            return
        if failed >= _MOST_FAILED_OFFERS:
            why = f"{failed} offered states did not pass in 24 hours, which is all that may be"
            raise self._refuse(session, why)
        self.journal.append("offered", manifest=session.id)

    def _offers(self) -> tuple[int, int]:
        """Return the offers of the last 24 hours, and how many of them did not end with the state admitted.

        One that brings no block to check is an offer once it is admitted.
        """
        since = datetime.now(UTC) - timedelta(hours=24)
        offered, admitted = Counter[str](), Counter[str]()
        for entry in reversed(self.journal.entries):
            if datetime.fromisoformat(entry.time) <= since:
                break
            if entry.event in ("offered", "admitted"):
                (offered if entry.event == "offered" else admitted)[entry.fields["manifest"]] += 1
        return (offered | admitted).total(), (offered - admitted).total()

    def _step(self, kind: str, messages: Sequence[bytes]) -> tuple[_Session, dict[str, Message]]:
        """Prove one message of every keyholder, all about one request, ours among them as we said it."""
        agreement = self.agreement
        read = [read_signed(data, kind, agreement.digest, agreement.by_name) for data in messages]
        said = {message.sender: message for message in read}
        requests = {str(message.fields.get("request")) for message in read}
        if len(said) != agreement.quorum or self.identity.name not in said or len(read) != len(said):
            who = "every keyholder" if agreement.needed is None else f"{agreement.needed} keyholders, us among them,"
            raise BadInput(f"A {kind} of {who} about one request is needed.")
        if len(requests) != 1:
            raise BadInput(f"Every {kind} must be about one request.")
        session = self._sessions.get(requests.pop())
        if session is None:
            raise Forgotten("This request is not known here, or no longer. Begin it anew.")
        if session.commitments and set(session.commitments) != set(said):
            raise self._refuse(session, "other keyholders take part than began")
        return session, said

    def _checks(self, session: _Session) -> list[bytes]:
        engine, keys, registry = self._tools()
        if isinstance(session.request, Question):
            return [engine.check_query(keys, session.request.query, session.seed, registry.manifest.group)]
        ring = self.agreement.scheme.ring
        return [
            engine.check_block(
                keys,
                registry.file(block),
                used=block.slots(ring, alive=False),
                seed=block_seed(session.seed, block),
                group=session.request.group,
            )
            for block in session.blocks
        ]

    def _evaluate(self, session: _Session, question: Question) -> dict[int, bytes]:
        """Return what we compute of some blocks, or of all, by their numbers."""
        count = len(session.blocks)
        # Every output of a ``who`` is decrypted by itself.
        chosen = self._chosen(count) if question.policy is Policy.BIT else list(range(count))
        _engine, keys, registry = self._tools()
        circuit = self.agreement.circuit(question.policy)
        blocks = [session.blocks[number] for number in chosen]
        workers = self._workers_of(self.agreement)
        made = evaluate(workers, keys, registry, question.query, circuit, session.seed, blocks)
        return dict(zip(chosen, made, strict=True))

    def _prove_zero(self, checks: Sequence[bytes]) -> _Session:
        session, messages = self._step("check", checks)
        if not session.seed:
            raise Refused("The check is answered before it was made.")
        used = used_by(self.agreement.sub_keys, self._in_order(messages))
        try:
            shares = arranged(used, {name: message.parts for name, message in messages.items()}, len(session.checks))
        except BadInput as problem:
            raise self._refuse(session, "a share of a check is missing") from problem
        engine = self._engine_of(self.agreement)
        for parts in shares:
            if engine.fuse(parts).any():
                what = "query" if isinstance(session.request, Question) else "block"
                raise self._refuse(session, f"the {what} is malformed: a bit in it is neither +1 nor -1")
        return session

    def _shares(self, session: _Session, ciphertexts: Sequence[bytes], mode: str) -> tuple[bytes, ...]:
        """Return our shares: of each ciphertext under each sub-key that is ours to use in this session."""
        ours = used_by(self.agreement.sub_keys, self._in_order(session.commitments))[self.identity.name]
        return tuple(self._share(ciphertext, mode, number) for ciphertext in ciphertexts for number in ours)

    def _share(self, ciphertext: bytes, mode: str, number: int) -> bytes:
        """Return our share of a decryption under one sub-key: the one that we once gave, if we did."""
        digest = hashlib.sha256(ciphertext).hexdigest()
        path = self._released / f"{digest}.{mode}.{number}"
        if any(other.suffixes[-2] != f".{mode}" for other in self._released.glob(f"{digest}.*")):
            raise Refused("A share of this ciphertext was given for another purpose.")
        if not path.exists():
            common = hmac.digest(self._vault[generation.COMMON], f"{mode} {digest}".encode(), "sha256")
            share = self._engine_of(self.agreement).share_decryption(
                self._vault[generation.share_name(number)],
                ciphertext,
                lead=number == 0,
                mode=mode,
                common=common,
                own=os.urandom(_NONCE),
            )
            write_whole(path, share)
        return path.read_bytes()

    def _in_order(self, names: Iterable[str]) -> list[str]:
        present = set(names)
        return [party.name for party in self.agreement.parties if party.name in present]

    def _chosen(self, count: int) -> list[int]:
        if self._recomputed is None or self._recomputed >= count:
            return list(range(count))
        return sorted(secrets.SystemRandom().sample(range(count), self._recomputed))

    def _say(self, kind: str, fields: Mapping[str, str], parts: tuple[bytes, ...] = ()) -> bytes:
        return sign(self.identity, kind, self.agreement.digest, fields, parts)

    def _refuse(self, session: _Session, why: str) -> Refused:
        self.journal.append("refused", request=session.id, why=why)
        self._end(session.id)
        return Refused(f"{self.identity.name} refuses: {why}.")

    def _end(self, request: str) -> None:
        """Forget a request with its shares of checks: another one's seed is another, and so are its ciphertexts."""
        session = self._sessions.pop(request, None)
        for ciphertext in session.checks if session is not None else ():
            self._drop_shares(hashlib.sha256(ciphertext).hexdigest())

    def _drop_shares(self, digest: str) -> None:
        for share in self._released.glob(f"{digest}.check.*"):
            share.unlink()

    def _tools(self) -> tuple[Engine, JointKeys, Registry]:
        registry = self.registry
        if not self._has("generated"):
            raise BadInput("The joint keys are not made yet.")
        agreement = self.agreement
        return self._engine_of(agreement), read_keys(self.folder / "keys", agreement), registry

    def _workers_of(self, agreement: Agreement) -> LocalWorkers:
        if self._workers is None:
            limits = self._limits or Limits()
            self._workers = LocalWorkers(
                agreement.scheme,
                len(agreement.sub_keys),
                agreement.digest,
                cores=limits.threads,
                memory=limits.memory_for(agreement.scheme),
                python=self._python,
            )
        return self._workers

    def _engine_of(self, agreement: Agreement) -> Engine:
        return self._workers_of(agreement).engine

    def _has(self, event: str) -> bool:
        return any(entry.event == event for entry in self.journal.entries)

    def _admitted(self) -> tuple[dict[str, tuple[int, str]], set[tuple[str, int]]]:
        """Return each catalogue's present state, by sequence and manifest's id, and every block ever checked."""
        found = [entry.fields for entry in self.journal.entries if entry.event == "admitted"]
        states = {str(fields["catalogue"]): (int(fields["sequence"]), str(fields["manifest"])) for fields in found}
        return states, {(str(sha256), int(used)) for fields in found for sha256, used in fields["blocks"]}
