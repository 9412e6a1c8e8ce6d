"""From a code to an answer: what matches, what does not, and what happens when something dies on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance.hashing.code import HashCode
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import EncryptedIndex, Query, local_evaluator, offer
from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.index import PrivateIndex
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.registry import Registry
from provenance.private_lookup.scheme import GROUPED
from tests.provenance.private_lookup.club import TAU, Club, code_at, random_code

PLANTED = random_code(5)


@pytest.fixture(scope="module")
def registry(club: Club, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Seven random entries and, in the slots 3, 5 and 6, PLANTED and what is TAU and TAU + 1 bits away from it."""
    codes = [random_code(n) for n in range(100, 110)]
    codes[3], codes[5], codes[6] = PLANTED, code_at(PLANTED, TAU, 1), code_at(PLANTED, TAU + 1, 2)
    return club.registry(tmp_path_factory.mktemp("registry") / "of-test_client", codes)


@pytest.fixture(scope="module")
def keyholders(club: Club, registry: Registry) -> Iterator[list[Keyholder]]:
    with club.keyholder("archive", registry) as one, club.keyholder("museum", registry) as other:
        keyholders = [one, other]
        offer(registry, keyholders)
        yield keyholders


@pytest.fixture(scope="module")
def query(club: Club) -> Query:
    return club.asker().encrypt(PLANTED)


def test_bit_says_that_something_matches(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: Query
) -> None:
    answer = club.ask(query, Policy.BIT, registry, keyholders)
    assert (answer.matches, answer.places, answer.entries) == (True, (), 10)
    assert answer.query_bytes > len(query.ciphertext(GROUPED))
    assert answer.answer_bytes > 0


def test_who_says_which(club: Club, registry: Registry, keyholders: list[Keyholder], query: Query) -> None:
    club.ask(query, Policy.BIT, registry, keyholders)
    answer = club.ask(query, Policy.WHO, registry, keyholders)
    assert answer.places == ((0, 3), (0, 5))
    assert [registry.ids(registry.manifest.blocks[block])[slot] for block, slot in answer.places] == ["e3", "e5"]


def test_as_an_index_it_is_asked_by_codes(club: Club, registry: Registry, keyholders: list[Keyholder]) -> None:
    evaluator = local_evaluator(registry, club.keys, club.engine, {club.client.name: club.client.public})
    index: PrivateIndex = EncryptedIndex(club.asker(), registry, evaluator, keyholders)
    assert (index.entries, index.agreement) == (10, club.agreement)
    found = index.ask(PLANTED, who=True)
    assert (found.policy, found.places, found.manifest) == (Policy.WHO, ((0, 3), (0, 5)), registry.manifest.id)
    assert (index.ask(PLANTED).policy, index.ask(random_code(1), who=True).matches) == (Policy.BIT, False)


def test_what_is_deleted_matches_no_more(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: Query
) -> None:
    registry.delete(["e3"], club.holder)
    with pytest.raises(Refused, match="present, checked state"):
        club.ask(query, Policy.BIT, registry, keyholders)
    offer(registry, keyholders)
    club.ask(query, Policy.BIT, registry, keyholders)
    assert club.ask(query, Policy.WHO, registry, keyholders).places == ((0, 5),)
    registry.delete(["e5"], club.holder)
    offer(registry, keyholders)
    answer = club.ask(query, Policy.BIT, registry, keyholders)
    assert not answer.matches
    assert 0 < answer.missed < 1e-4


def test_killed_engines_delay_an_answer_and_change_nothing(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: Query
) -> None:
    """Each keyholder's engine dies before its last step, and the evaluator's too."""

    class Dying:
        def __init__(self, keyholder: Keyholder) -> None:
            self._keyholder = keyholder
            self.commit, self.reveal, self.check = keyholder.commit, keyholder.reveal, keyholder.check
            self.admit = keyholder.admit

        def answer(self, checks: list[bytes], outputs: list[bytes]) -> bytes:
            engine = self._keyholder._engine_of(club.agreement)
            assert engine.process_id is not None
            os.kill(engine.process_id, signal.SIGKILL)
            return self._keyholder.answer(checks, outputs)

    def evaluator(question: bytes, seed: bytes) -> list[bytes]:
        assert club.engine.process_id is not None
        os.kill(club.engine.process_id, signal.SIGKILL)
        clients = {club.client.name: club.client.public}
        return list(local_evaluator(registry, club.keys, club.engine, clients)(question, seed))

    dying = [Dying(keyholder) for keyholder in keyholders]
    assert club.asker().ask(query, Policy.BIT, registry, evaluator, dying).entries == registry.manifest.entries


def test_a_restarted_keyholder_refuses_what_it_does_not_know_and_answers_anew(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: Query
) -> None:
    class Forgetful(Keyholder):
        def __init__(self, keyholder: Keyholder) -> None:
            self.__dict__.update(keyholder.__dict__)

        def answer(self, checks, outputs):  # type: ignore[no-untyped-def]
            self._sessions.clear()
            return super().answer(checks, outputs)

    with pytest.raises(Refused, match="Begin it anew"):
        club.ask(query, Policy.BIT, registry, [keyholders[0], Forgetful(keyholders[1])])
    club.ask(query, Policy.BIT, registry, keyholders)


def test_an_empty_catalogue_matches_nothing_and_asks_nobody(club: Club, tmp_path: Path, query: Query) -> None:
    empty = Registry.create(tmp_path / "empty", club.agreement, club.holder, "empty")
    answer = club.ask(query, Policy.BIT, empty, [])
    assert (answer.matches, answer.entries, answer.query_bytes) == (False, 0, 0)


def test_codes_of_another_algorithm_are_not_encrypted(club: Club) -> None:
    for code in (HashCode("other-v1", bytes(12), 96), HashCode(PLANTED.algorithm, bytes(16), 128)):
        with pytest.raises(BadInput, match="dinohash-house-v2, 96 bits"):
            club.asker().encrypt(code)


def test_all_keyholders_are_needed_in_their_order(
    club: Club, registry: Registry, keyholders: list[Keyholder], query: Query
) -> None:
    with pytest.raises(Refused, match="All 2 keyholders"):
        club.ask(query, Policy.BIT, registry, keyholders[:1])
    with pytest.raises(BadInput):
        club.ask(query, Policy.BIT, registry, keyholders[::-1])
