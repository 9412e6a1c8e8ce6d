"""What a trusted gateway can see that keyholders cannot: that somebody is finding an entry's hash out, bit by bit.

A gateway hashes pictures and asks for others. It knows every code and every answer, so that it can hold each of those
others to a budget of their own, and notice questions that lie close to each other: whoever looks for the edge of an
entry asks about one picture after another that differ in a few bits. What it keeps for that is as telling as the
answers are; it lies sealed, for 30 days.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from provenance.hashing.code import HashCode, hamming
from provenance.private_lookup.errors import Refused
from provenance.private_lookup.identity import Vault
from provenance.private_lookup.index import Answer, PrivateIndex

_KEPT, _DAY = timedelta(days=30), timedelta(hours=24)
# Finding a hash out takes about a hundred different codes near to it. Two edited copies of a picture are ordinary.
MOST_NEAR = 5
_RECORD = "watch"


@dataclass(frozen=True)
class Alarm:
    """Questions that look like a search for an entry's hash.

    Attributes:
        credentials: who asked them; several may work together.
        questions: how many different codes.
        hits: how many of them matched.
    """

    credentials: tuple[str, ...]
    questions: int
    hits: int

    def __str__(self) -> str:
        return (
            f"{self.questions} questions by {', '.join(self.credentials)} in 30 days lie close to each other,"
            f" {self.hits} of them hits: somebody may be finding an entry's hash out."
        )


@dataclass(frozen=True)
class _Asked:
    credential: str
    time: datetime
    code: HashCode
    hit: bool


class Gateway:
    """Asks one private catalogue for many people.

    Args:
        index: the catalogue.
        vault: where the record lies, sealed. One process at a time uses it.
        daily: how many questions of one credential are asked in 24 hours.
        now: the time, with its zone.
    """

    def __init__(
        self,
        index: PrivateIndex,
        vault: Vault,
        daily: int = 20,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._index = index
        self._vault = vault
        self._daily = daily
        self._now = now

    def ask(self, code: HashCode, credential: str, *, who: bool = False) -> tuple[Answer, Alarm | None]:
        """Ask for somebody, and tell whether what was asked until now looks like a search.

        Args:
            code: that the gateway made of a picture itself.
            credential: whose budget it counts against.

        Raises:
            Refused: the budget is used up, or a keyholder or server refuses.
            BadInput, KeyholderUnreachable: as :meth:`index.PrivateIndex.ask`.
        """
        asked = self._asked()
        recent = sum(one.credential == credential and one.time > self._now() - _DAY for one in asked)
        if recent >= self._daily:
            raise Refused(f"{credential} has asked {recent} questions in 24 hours, which is all that it may.")
        # Before it is answered: a question that fails counts.
        asked.append(_Asked(credential, self._now(), code, False))
        self._keep(asked)
        answer = self._index.ask(code, who=who)
        if answer.matches:
            asked[-1] = _Asked(credential, asked[-1].time, code, True)
            self._keep(asked)
        return answer, self._alarm(asked)

    def _alarm(self, asked: list[_Asked]) -> Alarm | None:
        """Look at what lies within the threshold of the last question; the same code twice tells nothing."""
        near = [one for one in asked if hamming(one.code, asked[-1].code) <= self._index.agreement.tau]
        different = {one.code.bits for one in near}
        hits = {one.code.bits for one in near if one.hit}
        if len(different) < MOST_NEAR or not hits:
            return None
        return Alarm(tuple(sorted({one.credential for one in near})), len(different), len(hits))

    def _asked(self) -> list[_Asked]:
        if _RECORD not in self._vault:
            return []
        found = [
            _Asked(one["credential"], datetime.fromisoformat(one["time"]), self._code(one["code"]), one["hit"])
            for one in json.loads(self._vault[_RECORD])
        ]
        return [one for one in found if one.time > self._now() - _KEPT]

    def _code(self, text: str) -> HashCode:
        bits = bytes.fromhex(text)
        return HashCode(self._index.agreement.algorithm, bits, 8 * len(bits))

    def _keep(self, asked: list[_Asked]) -> None:
        rows = [
            {"credential": one.credential, "time": one.time.isoformat(), "code": one.code.bits.hex(), "hit": one.hit}
            for one in asked
        ]
        self._vault.keep(_RECORD, json.dumps(rows).encode())
