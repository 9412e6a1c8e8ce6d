"""Asking a private catalogue from a worker: encrypt, evaluate, collect shares, read; or relay what another encrypted.

A question ends answered, or failed with a reason. Where an engine or a keyholder dies on the way it is asked once more.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.hashing.code import HashCode
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import Client, Query, Step, local_evaluator, relay
from provenance.private_lookup.engine import Engine
from provenance.private_lookup.errors import (
    EngineFailed,
    Forgotten,
    KeyholderUnreachable,
    PrivateLookupError,
    Refused,
)
from provenance.private_lookup.identity import PublicIdentity
from provenance.private_lookup.index import Answer
from provenance.private_lookup.joint_keys import read_keys
from provenance.private_lookup.question import read_question
from provenance.private_lookup.registry import Registry
from webapp.private.identities import site_identity
from webapp.private.keyholders import keyholders_of
from webapp.private.models import PrivateQuestion, QuestionState
from webapp.private.storage import blocks_of, meeting_of, place

MOST_ATTEMPTS = 2
_WORDS = {
    Step.AGREE: gettext_lazy("keyholders agree on what is drawn at random"),
    Step.EVALUATE: gettext_lazy("comparing with every encrypted entry"),
    Step.ANSWER: gettext_lazy("keyholders compute it again, then answer"),
}
# Told where it stands in words, often; what it raises ends the question.
Tell = Callable[[str], None]
Result = TypeVar("Result")
_EVERY = 0.5
_SECONDS_TO_COME_BACK = 20.0
_WORTH_ANOTHER = (KeyholderUnreachable, EngineFailed, Forgotten)


class NotAnswered(Exception):
    """A question failed; the sentence is in its row too."""


class Asker:
    """The site asks one catalogue about one picture: ``bit``, and ``who`` of the same query."""

    def __init__(self, question: PrivateQuestion, code: HashCode, tell: Tell) -> None:
        self._private = question.private
        self._code = code
        self._tell = tell
        self._query: Query | None = None
        self._bit_answered = False
        self._engine: Engine | None = None

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_problem: object) -> None:
        # It holds gigabytes while it has a block in memory, and others ask other catalogues.
        if self._engine is not None:
            self._engine.close()

    def ask(self, question: PrivateQuestion) -> Answer:
        """Ask, and write what was learnt into the question's row.

        Raises:
            NotAnswered: with the reason; the row has it too.
        """
        agreement = self._private.agreement
        keys = read_keys(meeting_of(self._private).keys, agreement)
        identity = site_identity()
        engine = self._engine = self._engine or Engine(agreement.scheme, len(agreement.sub_keys), agreement.digest)
        client = Client(identity, agreement, keys, engine)

        def once(tell: Callable[[Step], None]) -> Answer:
            registry = Registry(blocks_of(self._private), agreement)
            if self._query is None:
                self._query = client.encrypt(self._code)
            evaluator = local_evaluator(registry, keys, engine, {identity.name: identity.public})
            keyholders, policy = keyholders_of(self._private), Policy(question.policy)
            if policy is Policy.WHO and not self._bit_answered:
                # Who asked before was stopped, and the query is gone: 'who' is answered where 'bit' was for the same.
                client.ask(self._query, Policy.BIT, registry, evaluator, keyholders, tell)
                self._bit_answered = True
            answer = client.ask(self._query, policy, registry, evaluator, keyholders, tell)
            self._bit_answered = True
            return answer

        answer = _try(question, engine, once, self._tell)
        _answered(
            question,
            matches=answer.matches,
            places=[list(spot) for spot in answer.places],
            entries=answer.entries,
            seconds=round(answer.seconds, 3),
            sent_bytes=answer.query_bytes,
            answer_bytes=answer.answer_bytes,
        )
        return answer


def relay_question(
    question: PrivateQuestion, data: bytes, clients: Mapping[str, PublicIdentity], tell: Tell
) -> list[bytes]:
    """Take a question that its client encrypted through all steps; return answers that the client alone can open.

    Raises:
        NotAnswered: with the reason.
    """
    private = question.private
    agreement = private.agreement
    keys = read_keys(meeting_of(private).keys, agreement)
    began = time.monotonic()
    with Engine(agreement.scheme, len(agreement.sub_keys), agreement.digest) as engine:

        def once(report: Callable[[Step], None]) -> list[bytes]:
            asked = read_question(data, agreement, clients)
            registry = Registry(blocks_of(private), agreement)
            evaluator = local_evaluator(registry, keys, engine, clients)
            return relay(agreement, data, asked.id, evaluator, keyholders_of(private), report)

        # The same signed question is never begun twice: whoever asked asks anew.
        answers = _try(question, engine, once, tell, attempts=1)
    _answered(
        question,
        entries=private.entries,
        seconds=round(time.monotonic() - began, 3),
        sent_bytes=len(data),
        answer_bytes=sum(len(answer) for answer in answers),
    )
    return answers


def fail(question: PrivateQuestion, reason: str) -> NotAnswered:
    """Write why a question has no answer; return what to raise."""
    question.state, question.reason, question.ended_at = QuestionState.FAILED, reason[:400], timezone.now()
    question.save(update_fields=("state", "reason", "ended_at"))
    return NotAnswered(reason)


def _answered(question: PrivateQuestion, **found: object) -> None:
    for name, value in found.items():
        setattr(question, name, value)
    question.state, question.ended_at, question.reason = QuestionState.ANSWERED, timezone.now(), ""
    question.save(update_fields=("state", "ended_at", "reason", *found))


def _try(
    question: PrivateQuestion,
    engine: Engine,
    once: Callable[[Callable[[Step], None]], Result],
    tell: Tell,
    attempts: int = MOST_ATTEMPTS,
) -> Result:
    """Do it, and once more where something died; a question whose worker was killed has used attempts already."""
    while question.attempts < attempts:
        question.attempts, question.state = question.attempts + 1, QuestionState.ASKED
        question.save(update_fields=("attempts", "state"))
        try:
            with _one_at_a_time(tell):
                return _watched(engine, once, tell)
        except _WORTH_ANOTHER as problem:
            question.reason = str(problem)
            if question.attempts < attempts:
                _wait(tell, _SECONDS_TO_COME_BACK / 4)
        except PrivateLookupError as problem:
            raise fail(question, str(problem)) from problem
    raise fail(question, question.reason or _("The program that asked was stopped each time. Ask again later."))


def _watched(engine: Engine, once: Callable[[Callable[[Step], None]], Result], tell: Tell) -> Result:
    """Do it in a thread, and tell in the meantime; where that raises, the engine is ended and nobody waits for it."""
    said = [str(_WORDS[Step.AGREE])]
    stopped: list[BaseException] = []

    def report(step: Step) -> None:
        if stopped:
            raise Refused("stopped")
        said[0] = str(_WORDS[step])

    pool = ThreadPoolExecutor(1)
    future: Future[Result] = pool.submit(once, report)
    try:
        while not future.done():
            tell(said[0])
            wait([future], _EVERY)
        return future.result()
    except BaseException as problem:
        stopped.append(problem)
        if not future.done():
            engine.kill()
        raise
    finally:
        pool.shutdown(wait=False)


@contextmanager
def _one_at_a_time(tell: Tell) -> Iterator[None]:
    """Let one question of this machine be evaluated at a time: two would need twice the memory and the time."""
    folder = place() / "locks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "question").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _wait(tell, _EVERY, _("another question is being answered"))
        yield


def _wait(tell: Tell, seconds: float, words: str = "") -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tell(words or _("something stopped in the middle; it is asked once more"))
        time.sleep(_EVERY)
