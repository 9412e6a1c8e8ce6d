"""One private catalogue as those who ask see it, however it is kept.

Two ways are offered, and the agreement says which one a catalogue has. Encrypted (``client.EncryptedIndex``): anybody
may evaluate, nobody needs to be online but the keyholders. Shared out (``shares.index.SharedIndex``): three servers,
always online, of which no two may work together; far cheaper. ``docs/private-lookup.md`` says when to choose which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from provenance.hashing.code import HashCode
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy


@dataclass(frozen=True)
class Answer:
    """What was learnt, and what it took.

    Attributes:
        policy: what was asked.
        matches: whether anything matches.
        places: for ``who``, block and slot of each entry that does; for ``bit``, nothing.
        entries: how many entries were asked about.
        missed: chance that a match was missed; 0 where the answer cannot miss one.
        seconds: from the question to the answer.
        query_bytes: sent to all servers or keyholders together, and to the evaluator.
        answer_bytes: what came back, of all of them together.
        manifest: id of the catalogue's state that was asked about, 64 hex digits.
        commitments: for a catalogue that is shared out, the Merkle roots of its three parts of shares, 64 hex digits
            each, as its holder signed them; else nothing.
    """

    policy: Policy
    matches: bool
    places: tuple[tuple[int, int], ...]
    entries: int
    missed: float
    seconds: float
    query_bytes: int
    answer_bytes: int
    manifest: str
    commitments: tuple[str, ...] = ()


class PrivateIndex(Protocol):
    """One private catalogue, asked by one client."""

    @property
    def agreement(self) -> Agreement:
        """Who takes part, of which algorithm the codes are, how far a match may be, and what may be asked."""

    @property
    def entries(self) -> int:
        """How many entries the state has that is asked about."""

    def ask(self, code: HashCode, *, who: bool = False) -> Answer:
        """Ask whether anything matches and, where ``who`` is set and something does, which entries.

        Each of the two is a question that counts against the client's budget.

        Args:
            code: of the agreement's algorithm and length.

        Raises:
            BadInput: the code is another's, or something that came is not what it should be.
            Refused: a server or keyholder does not answer; it says why.
            KeyholderUnreachable: one is not there, or went away in the middle.
        """
