"""A gateway's budgets and alarms, over an index that answers from codes in clear."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provenance.hashing.code import HashCode, hamming
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import KeyholderUnreachable, Refused
from provenance.private_lookup.identity import Identity, Vault
from provenance.private_lookup.index import Answer
from provenance.private_lookup.watch import MOST_NEAR, Gateway
from tests.provenance.private_lookup.club import ALGORITHM, TAU, code_at, random_code

ENTRY = random_code(1)


class ClearIndex:
    """One entry."""

    def __init__(self) -> None:
        parties = (Identity.new("archive").public, Identity.new("museum").public)
        self.agreement = Agreement("toy-bgv-v1-96", ALGORITHM, TAU, (Policy.BIT,), parties, parties[0])
        self.entries = 1
        self.away = False

    def ask(self, code: HashCode, *, who: bool = False) -> Answer:
        if self.away:
            raise KeyholderUnreachable("gone")
        return Answer(Policy.BIT, hamming(code, ENTRY) <= TAU, (), 1, 0.0, 0.0, 0, 0, "00")


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(tmp_path: Path, clock: Clock) -> Gateway:
    return Gateway(ClearIndex(), Vault(tmp_path, "phrase"), daily=8, now=clock)


def test_a_search_for_an_entry_raises_an_alarm(gateway: Gateway) -> None:
    """Nothing before there are enough different codes near each other; the same one twice is no search."""
    for number in range(MOST_NEAR - 1):
        answer, alarm = gateway.ask(code_at(ENTRY, number), "ann")
        assert answer.matches
        assert alarm is None
    assert gateway.ask(code_at(ENTRY, 0), "ann")[1] is None
    alarm = gateway.ask(code_at(ENTRY, 10), "ann")[1]
    assert alarm is not None
    assert (alarm.credentials, alarm.questions, alarm.hits) == (("ann",), MOST_NEAR, MOST_NEAR)
    assert "ann in 30 days" in str(alarm)


def test_several_who_search_together_are_named(gateway: Gateway) -> None:
    alarms = [gateway.ask(code_at(ENTRY, number), f"k{number % 3}")[1] for number in range(MOST_NEAR)]
    assert alarms[-1] is not None
    assert alarms[-1].credentials == ("k0", "k1", "k2")


def test_other_pictures_and_misses_raise_none(gateway: Gateway) -> None:
    for number in range(8):
        assert gateway.ask(random_code(100 + number), "ann")[1] is None
    far = random_code(7)
    for number in range(8):
        assert gateway.ask(code_at(far, number), "ben")[1] is None


def test_everybody_has_a_budget_of_their_own(gateway: Gateway, clock: Clock) -> None:
    """Questions that fail count too; the next day has new ones."""
    index = gateway._index
    assert isinstance(index, ClearIndex)
    index.away = True
    for number in range(8):
        with pytest.raises(KeyholderUnreachable):
            gateway.ask(random_code(number), "ann")
    index.away = False
    with pytest.raises(Refused, match="ann has asked 8 questions"):
        gateway.ask(random_code(9), "ann")
    gateway.ask(random_code(9), "ben")
    clock.time += timedelta(hours=24)
    gateway.ask(random_code(9), "ann")


def test_what_is_kept_lies_sealed_and_not_for_ever(tmp_path: Path, gateway: Gateway, clock: Clock) -> None:
    for number in range(MOST_NEAR):
        gateway.ask(code_at(ENTRY, number), "ann")
    for file in tmp_path.iterdir():
        assert ENTRY.hex.encode() not in file.read_bytes()
        assert b"ann" not in file.read_bytes()
    again = Gateway(ClearIndex(), Vault(tmp_path, "phrase"), daily=8, now=clock)
    assert again.ask(code_at(ENTRY, 9), "ann")[1] is not None
    clock.time += timedelta(days=31)
    assert again.ask(code_at(ENTRY, 9), "ann")[1] is None
