"""Three servers compute what one would compute in clear; what each of them sees looks random."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pytest

from provenance.private_lookup.scheme import CODE_LENGTHS, MAX_TAU
from provenance.private_lookup.shares.computation import (
    Array,
    Computation,
    Pair,
    margin_bits,
    packed,
    unpacked,
)

T = TypeVar("T")


class Channel:
    """Neighbours in the same process, and everything that came."""

    def __init__(self, out: queue.Queue[bytes], into: queue.Queue[bytes]) -> None:
        self._out, self._into = out, into
        self.received: list[bytes] = []

    def send(self, data: bytes) -> None:
        self._out.put(data)

    def receive(self, size: int) -> bytes:
        data = self._into.get(timeout=60)
        assert len(data) == size
        self.received.append(data)
        return data


def together(
    run: Callable[[Computation], T], keys: list[bytes] | None = None
) -> tuple[list[T], list[Channel]]:
    """Run all three servers' parts, and return what each got and saw."""
    keys = keys or [os.urandom(32) for _ in range(3)]
    queues: list[queue.Queue[bytes]] = [queue.Queue() for _ in range(3)]
    channels = [Channel(queues[place - 1], queues[place]) for place in range(3)]
    parts = [
        Computation(place, (keys[place], keys[(place + 1) % 3]), b"about" + bytes(27), channels[place])
        for place in range(3)
    ]
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(run, parts)), channels


def split(bits: Array, random: np.random.Generator) -> list[Pair]:
    """Share out bits: what each server gets."""
    first, second = (random.integers(0, 2, bits.shape, dtype=np.uint8) for _ in range(2))
    three = first, second, bits ^ first ^ second
    return [(three[place], three[(place + 1) % 3]) for place in range(3)]


def xored(shares: list[Array]) -> Array:
    return shares[0] ^ shares[1] ^ shares[2]


def test_bits_become_numbers_and_nothing_else_can_come_out() -> None:
    random = np.random.default_rng(1)
    bits = random.integers(0, 2, (96, 50), dtype=np.uint8)
    shared = split(bits, random)
    numbers, _channels = together(lambda part: part.to_numbers(shared[part.place]))
    assert np.array_equal(numbers[0][0] + numbers[1][0] + numbers[2][0], bits)
    for place in range(3):
        assert np.array_equal(numbers[place][1], numbers[(place + 1) % 3][0])
    # Whatever three strings of bits a client makes up, their XOR is bits.
    made_up = [random.integers(0, 2, 96, dtype=np.uint8) for _ in range(3)]
    numbers, _channels = together(lambda part: part.to_numbers((made_up[part.place], made_up[(part.place + 1) % 3])))
    assert set((numbers[0][0] + numbers[1][0] + numbers[2][0]).tolist()) == {0, 1}


@pytest.mark.parametrize("length", CODE_LENGTHS)
def test_a_thousand_questions_and_none_is_answered_wrong(length: int) -> None:
    """Of every threshold: neighbours at 0, tau and tau + 1, and random codes, among 64 entries."""
    random = np.random.default_rng(length)
    count = 256
    entries = random.integers(0, 2, (length, 64), dtype=np.uint8)
    queries = random.integers(0, 2, (length, count), dtype=np.uint8)
    taus = [number % (MAX_TAU + 1) for number in range(count)]
    for number, tau in enumerate(taus):
        distance = (0, tau, tau + 1, None)[number // (MAX_TAU + 1) % 4]
        if distance is not None:
            queries[:, number] = entries[:, number % 64]
            queries[random.choice(length, distance, replace=False), number] ^= 1
    # Entries that were deleted match nothing.
    alive = random.random(64) < 0.9
    distances = (entries[:, :, None] != queries[:, None]).sum(axis=0)
    expected = (distances <= taus) & alive[:, None]
    shared_entries, shared_queries = split(entries, random), split(queries, random)
    mask = packed(alive)

    def run(part: Computation) -> tuple[list[Array], list[Array]]:
        d = part.to_numbers(shared_entries[part.place])
        q = part.to_numbers(shared_queries[part.place])
        ones = d[0].sum(axis=0, dtype=np.uint16)
        some, each = [], []
        for bits in {margin_bits(length, tau) for tau in taus}:
            asked = [number for number, tau in enumerate(taus) if margin_bits(length, tau) == bits]
            margins = [part.margins(d, ones, (q[0][:, number], q[1][:, number]), taus[number]) for number in asked]
            within = part.within(np.concatenate(margins), bits)
            for place, number in enumerate(asked):
                word = slice(place, place + 1)
                matching = within[0][word] & mask, within[1][word] & mask
                some.append((number, part.any_of(matching)))
                each.append((number, part.each_of(matching)))
        return [share for _number, share in sorted(some, key=lambda pair: pair[0])], [
            share for _number, share in sorted(each, key=lambda pair: pair[0])
        ]

    found, _channels = together(run)
    for number in range(count):
        some = xored([shares[0][number] for shares in found])
        each = xored([shares[1][number] for shares in found])
        assert bool(some.any()) == expected[:, number].any()
        assert np.array_equal(unpacked(each, 64), expected[:, number])


@pytest.mark.parametrize("length", CODE_LENGTHS)
@pytest.mark.parametrize("tau", [0, 23, MAX_TAU])
def test_every_distance_is_told_from_the_threshold(length: int, tau: int) -> None:
    """Also those that no random codes have: all of them, from 0 to the code's length, in one question."""
    random = np.random.default_rng(tau)
    query = random.integers(0, 2, length, dtype=np.uint8)
    entries = np.repeat(query[:, None], length + 1, axis=1)
    for distance in range(length + 1):
        entries[random.choice(length, distance, replace=False), distance] ^= 1
    shared_entries, shared_query = split(entries, random), split(query, random)

    def run(part: Computation) -> Array:
        d = part.to_numbers(shared_entries[part.place])
        q = part.to_numbers(shared_query[part.place])
        margins = part.margins(d, d[0].sum(axis=0, dtype=np.uint16), q, tau)
        return part.each_of(part.within(margins, margin_bits(length, tau)))

    shares, _channels = together(run)
    assert np.array_equal(unpacked(xored(shares), length + 1), np.arange(length + 1) <= tau)


def answer(part: Computation, entries: list[Pair], query: list[Pair], tau: int) -> Array:
    d, q = part.to_numbers(entries[part.place]), part.to_numbers(query[part.place])
    margins = part.margins(d, d[0].sum(axis=0, dtype=np.uint16), q, tau)
    return part.any_of(part.within(margins, margin_bits(96, tau)))


def test_what_a_server_receives_and_what_opens_looks_random() -> None:
    """The same secrets again and again: all that a server sees varies, bit for bit, and so do answers that hit."""
    random = np.random.default_rng(3)
    entries = random.integers(0, 2, (96, 64), dtype=np.uint8)
    shared_entries, shared_query = split(entries, random), split(entries[:, 7], random)
    runs = 64
    seen: dict[int, list[Array]] = {place: [] for place in range(3)}
    opened = []
    for _run in range(runs):
        shares, channels = together(lambda part: answer(part, shared_entries, shared_query, 24))
        opened.append(int(xored(shares)[0]))
        for place, channel in enumerate(channels):
            seen[place].append(np.unpackbits(np.frombuffer(b"".join(channel.received), np.uint8)))
    for found in seen.values():
        rates = np.mean(found, axis=0)
        assert abs(rates.mean() - 0.5) < 0.01
        assert rates.min() > 0
        assert rates.max() < 1
    assert len(set(opened)) == runs
    ones = sum(value.bit_count() for value in opened)
    assert abs(ones / (64 * runs) - 0.5) < 0.05


def test_flags_of_all_servers_are_gathered() -> None:
    flags = [b"\1\0\0\0", b"\0\1\0\0", b"\0\1\1\0"]
    found, _channels = together(lambda part: part.gather(flags[part.place]))
    assert found == [b"\1\1\1\0"] * 3


def test_words_hold_any_number_of_bits() -> None:
    for count in (0, 1, 63, 64, 65, 130):
        bits = np.random.default_rng(count).random(count) < 0.5
        assert np.array_equal(unpacked(packed(bits), count), bits)
