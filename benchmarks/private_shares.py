"""Private look-ups in shares: what asking three servers costs, and how many answers are right.

Three servers, each a process as `provenance shareholder serve` starts it, and the client that asks them, on one machine
over real connections: so a second is what all of them need together, and one of several machines would need less of
each but wait for the network. Processor time is theirs together too; other work on the machine lengthens it less.
Traffic and rounds are counted in the program that the servers run. Part of ``make bench-private``.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.private_report import PAPER_SECONDS
from benchmarks.results import QUICK, store
from provenance.hashing.code import HashCode
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.scheme import DEFAULT_TAU, shares_for
from provenance.private_lookup.shares.catalogue import Catalogue
from provenance.private_lookup.shares.computation import Computation, margin_bits
from provenance.private_lookup.shares.index import SharedIndex
from provenance.private_lookup.shares.service import RemoteShareholders
from provenance.private_lookup.shares.shareholder import Shareholder

TAU, BITS, ALGORITHM = DEFAULT_TAU, 96, "dinohash-house-v2"
SIZES = (1_000, 8_192) if QUICK else (1_000, 8_192, 32_768, 100_000)
QUERIES, REPEATS = (20, 3) if QUICK else (1_000, 40)
DISTANCES = (0, TAU, TAU + 1, None)
NAMES = ("one", "two", "three")
PHRASE = "bench"


@dataclass
class House:
    """Three servers that run, with a catalogue, and a client."""

    agreement: Agreement
    holder: Identity
    client: Identity
    catalogue: Catalogue
    addresses: list[tuple[str, int]]
    processes: list[subprocess.Popen[str]]

    def index(self) -> SharedIndex:
        """Return the catalogue as the client sees it."""
        return SharedIndex(RemoteShareholders(self.client, self.agreement, self.addresses))

    def offer(self) -> None:
        """Have the servers take up the catalogue's present state."""
        RemoteShareholders(self.holder, self.agreement, self.addresses).admit(self.catalogue.signed)

    def use_cores(self, count: int) -> None:
        """Let all servers and the client together use so many processors."""
        cores = set(sorted(_CORES)[:count])
        for process in self.processes:
            for thread in psutil.Process(process.pid).threads():
                os.sched_setaffinity(thread.id, cores)
        os.sched_setaffinity(0, cores)


_CORES = os.sched_getaffinity(0)


@contextmanager
def opened(folder: Path) -> Iterator[House]:
    """Start three servers of an empty catalogue."""
    holder, client = Identity.new("holder"), Identity.new("client")
    parties = tuple(Shareholder.create(folder / name, name, PHRASE) for name in NAMES)
    agreement = Agreement(shares_for(BITS), ALGORITHM, TAU, tuple(Policy), parties, holder.public, 10**9)
    for name in NAMES:
        with Shareholder(folder / name, PHRASE) as shareholder:
            shareholder.agree(agreement)
            shareholder.admit_client(client.public)
    catalogue = Catalogue.create(folder / "catalogue", agreement, holder, "catalogue")
    listeners = [create_server(("127.0.0.1", 0)) for _name in NAMES]
    addresses = [("127.0.0.1", listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    servers = [part for host, port in addresses for part in ("--server", f"{host}:{port}")]
    environment = {**os.environ, "PROVENANCE_PASSPHRASE": PHRASE}
    processes = []
    try:
        for name in NAMES:
            command = ["shareholder", "serve", str(folder / name), "--shares", str(catalogue.folder / name), *servers]
            program = [sys.executable, "-m", "provenance.cli", *command]
            processes.append(subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True))
        for process in processes:
            assert process.stdout is not None
            if "answers at" not in process.stdout.readline():
                raise RuntimeError("a server does not start")
        yield House(agreement, holder, client, catalogue, addresses, processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def code_of(bits: npt.NDArray[np.uint8]) -> HashCode:
    """Return 0 and 1 as a code."""
    return HashCode.from_array(ALGORITHM, bits)


def right_answers(index: SharedIndex, codes: npt.NDArray[np.uint8], count: int) -> int:
    """Ask ``count`` questions, each with both policies, and return how many were answered rightly.

    Args:
        codes: uint8 ``[n, BITS]`` of the catalogue's entries, in one block.
    """
    right = 0
    for number in range(count):
        random = np.random.default_rng(10_000 + number)
        query = random.integers(0, 2, BITS, dtype=np.uint8)
        distance = DISTANCES[number % len(DISTANCES)]
        if distance is not None:
            query = codes[random.integers(len(codes))].copy()
            query[random.choice(BITS, distance, replace=False)] ^= 1
        near = tuple((0, int(place)) for place in np.flatnonzero((codes != query).sum(axis=1) <= TAU))
        answer = index.ask(code_of(query), who=True)
        right += answer.matches == bool(near) and answer.places == near
    return right


def processor_seconds(processes: Sequence[subprocess.Popen[str]]) -> float:
    """Return the processor time that the servers and this process have used."""
    times = [psutil.Process(pid).cpu_times() for pid in (os.getpid(), *(process.pid for process in processes))]
    return sum(one.user + one.system for one in times)


class Counted:
    """A link in this process that counts bytes, and rounds: how many messages came one after the other."""

    def __init__(self, out: queue.Queue[tuple[int, bytes]], into: queue.Queue[tuple[int, bytes]]) -> None:
        self._out, self._into = out, into
        self.sent = self.rounds = 0

    def send(self, data: bytes) -> None:
        """Send, and count."""
        self.sent += len(data)
        self._out.put((self.rounds + 1, data))

    def receive(self, _size: int) -> bytes:
        """Receive, and count."""
        round_, data = self._into.get(timeout=60)
        self.rounds = max(self.rounds, round_)
        return data


def computation(entries: int) -> tuple[float, int, int]:
    """Run the servers' program for one question here.

    Returns:
        Processor seconds of all three, bytes between them, and rounds.
    """
    queues: list[queue.Queue[tuple[int, bytes]]] = [queue.Queue() for _name in NAMES]
    links = [Counted(queues[place - 1], queues[place]) for place in range(3)]
    keys = [bytes([place]) * 32 for place in range(3)]
    numbers = np.random.default_rng(2).integers(0, 1 << 16, (BITS, entries), dtype=np.uint16)

    def run(place: int) -> float:
        began = time.thread_time()
        part = Computation(place, (keys[place], keys[(place + 1) % 3]), bytes(32), links[place])
        query = part.to_numbers((np.zeros(BITS, np.uint8), np.zeros(BITS, np.uint8)))
        margins = part.margins((numbers, numbers), numbers[0], query, TAU)
        part.any_of(part.within(margins, margin_bits(BITS, TAU)))
        return time.thread_time() - began

    with ThreadPoolExecutor(3) as pool:
        seconds = sum(pool.map(run, range(3)))
    return seconds, sum(link.sent for link in links), max(link.rounds for link in links)


@dataclass(frozen=True)
class Cost:
    """What asking costs, in seconds and bytes.

    Attributes:
        totals: seconds of one answer, by cores and entries; the least of several.
        busy: processor seconds of one answer, by entries; the mean.
        share_out: seconds an entry, on the holder's machine.
        offer: seconds an entry, until the servers answer about it.
        given_bytes: an entry's shares as they are given to one server.
        query_bytes: to all three servers.
        answer_bytes: from all three.
        computing: processor seconds of all three servers, an entry.
        traffic_bytes: between the servers, an entry and question, all together.
        rounds: messages one after the other.
        peak_bytes: the largest server's memory at the largest size.
    """

    totals: dict[int, dict[int, float]]
    busy: dict[int, float]
    share_out: float
    offer: float
    given_bytes: float
    query_bytes: int
    answer_bytes: int
    computing: float
    traffic_bytes: float
    rounds: int
    peak_bytes: int
    right: int
    questions: int
    load: float



def measure() -> Cost:
    """Measure everything once."""
    load = os.getloadavg()[0]
    codes = np.random.default_rng(1).integers(0, 2, (max(SIZES), BITS), dtype=np.uint8)
    packed = np.packbits(codes, axis=1)
    totals: dict[int, dict[int, float]] = {1: {}, 2: {}}
    busy = {}
    shared = offered = 0.0
    with tempfile.TemporaryDirectory() as place, opened(Path(place)) as house:
        size = right = 0
        for wanted in SIZES:
            entries = [(f"e{number}", packed[number].tobytes()) for number in range(size, wanted)]
            began = time.perf_counter()
            house.catalogue.append(entries, house.holder)
            shared += time.perf_counter() - began
            began = time.perf_counter()
            house.offer()
            offered += time.perf_counter() - began
            size = wanted
            index = house.index()
            if not right:
                right = right_answers(index, codes[:wanted], QUERIES)
            before = processor_seconds(house.processes)
            for cores in totals:
                house.use_cores(cores)
                times = []
                for _repeat in range(REPEATS):
                    times.append(index.ask(code_of(codes[-1] ^ 1)).seconds)
                totals[cores][wanted] = min(times)
            busy[wanted] = (processor_seconds(house.processes) - before) / (len(totals) * REPEATS)
            house.use_cores(len(_CORES))
        answer = house.index().ask(code_of(codes[-1] ^ 1))
        folder = house.catalogue.folder / NAMES[0]
        given = sum(path.stat().st_size for path in folder.glob("*.shares")) / size
        peak = max(peak_bytes(process.pid) for process in house.processes)
    runs = [computation(SIZES[-1]) for _repeat in range(REPEATS)]
    seconds, sent, rounds = min(runs)
    return Cost(
        totals=totals,
        busy=busy,
        share_out=shared / size,
        offer=offered / size,
        given_bytes=given,
        query_bytes=answer.query_bytes,
        answer_bytes=answer.answer_bytes,
        computing=seconds / SIZES[-1],
        traffic_bytes=sent / SIZES[-1],
        rounds=rounds,
        peak_bytes=peak,
        right=right,
        questions=QUERIES,
        load=load,
    )


def peak_bytes(pid: int) -> int:
    """Return the largest memory that a process had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise ValueError(pid)


def figures(cost: Cost) -> dict[str, float]:
    """Return the key figures."""
    return {
        "shares_us_per_entry": round(1e6 * cost.computing, 2),
        "shares_total_s": round(cost.totals[2][SIZES[-1]], 3),
        "shares_queries": cost.questions,
        "shares_wrong": cost.questions - cost.right,
    }


def markdown(cost: Cost) -> str:
    """Return the tables."""

    def row(size: int) -> str:
        measured = [cost.totals[1][size], cost.totals[2][size], cost.busy[size]]
        paper = size * PAPER_SECONDS
        times = " | ".join(f"{seconds:.3f} s" for seconds in measured)
        return f"| {size:,} | {times} | {paper:,.0f} s | {paper / measured[1]:,.0f} |"

    sizes = "\n".join(row(size) for size in SIZES)
    return f"""
Three servers and the client as processes on this machine, connected over TLS; threshold {TAU} of {BITS} bits; the
machine's load was {cost.load:.1f} when the run began. {cost.right:,} of {cost.questions:,} questions, each asked as
`bit` and after a hit as `who`, were answered rightly: 0, {TAU} and {TAU + 1} bits from an entry, and random ones.

| step | cost |
|---|---|
| compute on an entry for one question, processor time of all three servers together | {1e6 * cost.computing:.2f} µs |
| share out an entry | {1e6 * cost.share_out:.0f} µs |
| have the servers take it up | {1e6 * cost.offer:.0f} µs |
| an entry's shares, as given to each server | {cost.given_bytes:.0f} bytes |
| query to all three | {cost.query_bytes:,} bytes |
| answers of all three | {cost.answer_bytes:,} bytes |
| between the servers, an entry and question, all together | {cost.traffic_bytes:.1f} bytes |
| messages one after the other | {cost.rounds} |
| peak memory of a server at {SIZES[-1]:,} entries | {cost.peak_bytes / 1e6:.0f} MB |

One whole `bit` answer, against the paper's 137 ms an entry on 56 virtual processors; the least of {REPEATS}
questions. Seconds include waiting for the machine's other work, which changes during a run; processor time does not:

| entries | one core | two cores | processor time | paper | times |
|---|---|---|---|---|---|
{sizes}
"""


def run() -> dict[str, float]:
    """Measure, write this mode's section, and return its key figures."""
    cost = measure()
    found = figures(cost)
    store(
        "private_shares",
        title="Private catalogues in shares on three servers",
        markdown=markdown(cost),
        figures=found,
        details={"bytes_given": round(cost.given_bytes), "traffic_bytes": cost.traffic_bytes, "rounds": cost.rounds},
    )
    return found


if __name__ == "__main__":
    print(json.dumps(run()))
