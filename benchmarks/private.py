"""Private look-ups: what asking an encrypted catalogue costs at 128 bits of security, and how many answers are right.

One program plays all roles, one after the other; in production each party has its own machine, and an answer takes the
slowest of them and not their sum. Costs are measured at the full parameters, as time on the clock and as processor time
of the engines, which other work on the machine lengthens less. Answers are counted at the full parameters and, many
more of them, in a small ring with the same circuits, modulus and depth. A query is 0, tau or tau + 1 bits from an
entry, or is random. The paper's figure (arXiv 2503.11195): 137 ms an entry on 56 virtual processors.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks import private_shares
from benchmarks.private_report import PAPER_SECONDS, Run, Spent, markdown
from benchmarks.results import QUICK, publish
from provenance.private_lookup import engine_setup
from provenance.private_lookup.circuit import Policy, compile_circuit
from provenance.private_lookup.engine import Engine, FileName, JointKeys, Limits
from provenance.private_lookup.scheme import ALONE, DEFAULT_TAU, GROUPED, SCHEMES, Scheme
from provenance.private_lookup.work import Job, LocalWorkers, Task, evaluate_here
from provenance.private_lookup.work_ray import RayWorkers

TAU, BITS = DEFAULT_TAU, 96
FULL, TOY = SCHEMES[f"bgv-v1-{BITS}"], SCHEMES[f"toy-bgv-v1-{BITS}"]
SIZES = (1_000,) if QUICK else (1_000, 8_192, 32_768, 100_000)
# Questions in each kind of blocks, each asked as `bit` and as `who`.
FULL_QUERIES, TOY_QUERIES = (1, 10) if QUICK else (4, 500)
RAY_SIZE = 8_192
MEMORY = 14 << 30
DISTANCES = (0, TAU, TAU + 1, None)
# A quick run has no time to take queries apart, or to measure what its last line does not tell.
_KINDS = (GROUPED,) if QUICK else (GROUPED, ALONE)
_MEASURED = ((ALONE, "large"),) if QUICK else ((GROUPED, "small"), (ALONE, "large"))
_CORES = (2,) if QUICK else (1, 2)
_T = TypeVar("_T")


@dataclass
class Bench:
    """An engine with joint keys of two parties.

    Attributes:
        spent: what steps took, by name.
        blocks: of catalogues, by slots of an entry and first entry.
        peak_bytes: the most memory that an engine's process had which is gone.
    """

    engine: Engine
    keys: JointKeys
    secrets: list[bytes]
    folder: Path
    spent: dict[str, Spent] = field(default_factory=dict)
    blocks: dict[tuple[int, int], FileName] = field(default_factory=dict)
    peak_bytes: int = 0

    @property
    def scheme(self) -> Scheme:
        """The engine's."""
        return self.engine.scheme

    def timed(self, name: str, call: Callable[[], _T]) -> _T:
        """Return what a call returns, and note what it took."""
        made, self.spent[name] = timed(call, [self.engine.process_id or 0])
        return made

    def use_threads(self, threads: int) -> None:
        """Go on with another process, of so many threads."""
        self.peak_bytes = self.peak()
        self.engine.use_threads(threads)
        self.engine.status()

    def peak(self) -> int:
        """Return the most memory that any process of the engine had, in bytes."""
        return max(self.peak_bytes, int(self.engine.status()["peak_bytes"]))

    def shares(self, ciphertext: bytes, mode: str, engine: Engine | None = None) -> list[bytes]:
        """Return both parties' shares of a decryption."""
        return [
            (engine or self.engine).share_decryption(
                secret, ciphertext, lead=number == 0, mode=mode, common=b"common", own=os.urandom(32)
            )
            for number, secret in enumerate(self.secrets)
        ]

    def decrypt(self, ciphertext: bytes, mode: str) -> npt.NDArray[np.uint32]:
        """Return what both parties decrypt together."""
        return self.engine.fuse(self.shares(ciphertext, mode))


def timed(call: Callable[[], _T], processes: Sequence[int]) -> tuple[_T, Spent]:
    """Return what a call returns, the seconds that it took, and those of the processes' processors."""

    def busy() -> float:
        times = [psutil.Process(process).cpu_times() for process in processes]
        return sum(one.user + one.system for one in times)

    before, began = busy(), time.perf_counter()
    made = call()
    return made, Spent(time.perf_counter() - began, busy() - before)


@contextmanager
def opened(scheme: Scheme, threads: int = 1) -> Iterator[Bench]:
    """Make joint keys of two parties."""
    with (
        tempfile.TemporaryDirectory() as place,
        Engine(scheme, 2, "bench", Limits(most_blocks=1, threads=threads), engine_setup.find()) as engine,
    ):
        folder = Path(place)
        engine.status()
        bench = Bench(engine, JointKeys(FileName(folder, ""), FileName(folder, ""), {}), [], folder)
        bench.keys, bench.secrets = bench.timed("keys", lambda: joint_keys(engine, folder))
        yield bench


def joint_keys(engine: Engine, folder: Path) -> tuple[JointKeys, list[bytes]]:
    """Return joint keys of two parties, in files, and their shares of the secret."""
    _secret, seed = engine.share_keys(None)
    secrets, publics = zip(*(engine.share_keys(seed) for _party in range(2)), strict=True)
    lead = engine.share_relin_first(secrets[0], None)
    first = engine.join("relin_first", [lead, engine.share_relin_first(secrets[1], lead)])

    def keep(name: str, data: bytes) -> FileName:
        (folder / name).write_bytes(data)
        return FileName(folder / name, hashlib.sha256(data).hexdigest())

    public = keep("public", engine.join("public", publics))
    relin = keep("relin", engine.join("relin", [engine.share_relin(secret, first) for secret in secrets]))
    automorphisms = {}
    for index in engine.scheme.automorphisms:
        lead = engine.share_automorphism(secrets[0], index, None)
        other = engine.share_automorphism(secrets[1], index, lead)
        automorphisms[index] = keep(str(index), engine.join("automorphism", [lead, other]))
    return JointKeys(public, relin, automorphisms), list(secrets)


def random_codes(count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return uint8 ``[count, BITS]`` of 0 and 1."""
    return np.random.default_rng(seed).integers(0, 2, (count, BITS), dtype=np.uint8)


def asked(codes: npt.NDArray[np.uint8], number: int) -> npt.NDArray[np.uint8]:
    """Return a query, near an entry or not."""
    chosen = np.random.default_rng(10_000 + number)
    distance = DISTANCES[number % len(DISTANCES)]
    query = chosen.integers(0, 2, BITS, dtype=np.uint8)
    if distance is not None:
        query = codes[chosen.integers(len(codes))].copy()
        query[chosen.choice(BITS, distance, replace=False)] ^= 1
    return query


def packed(bits: npt.NDArray[np.uint8]) -> bytes:
    """Return codes as the engine takes them."""
    return np.packbits(bits, axis=-1).tobytes()


def right_answers(bench: Bench, group: int, count: int) -> int:
    """Ask ``count`` questions of one full block, each by both policies, and return how many were answered rightly."""
    entries = bench.scheme.entries(group)
    codes = random_codes(entries, 1)
    block, _size = bench.engine.encrypt_block(bench.keys, packed(codes), bench.folder / "right", group=group)
    alive = np.arange(bench.scheme.ring) < entries
    right = 0
    for number in range(count):
        query = asked(codes, number)
        near = np.flatnonzero((codes != query).sum(axis=1) <= TAU)
        ciphertext = bench.engine.encrypt_query(bench.keys, packed(query), group)
        values = {}
        for policy in Policy:
            circuit = compile_circuit(policy, BITS, TAU)
            made = bench.engine.evaluate(
                bench.keys, ciphertext, block, circuit, alive=alive, seed=b"%d" % number, group=group
            )
            values[policy] = bench.decrypt(made, str(policy))
        found = np.flatnonzero(values[Policy.WHO] == 0)
        right += bool(values[Policy.BIT][0]) == bool(len(near)) and np.array_equal(found, near)
    return right


def measure(bench: Bench) -> dict[str, int]:
    """Measure each step on one full block of each kind; return sizes in bytes."""
    engine, keys, ring = bench.engine, bench.keys, bench.scheme.ring
    bit, who = (compile_circuit(policy, BITS, TAU) for policy in (Policy.BIT, Policy.WHO))
    sizes: dict[str, int] = {}
    made = b""
    for group, kind in _MEASURED:
        codes = packed(random_codes(bench.scheme.entries(group), 2))
        alive = np.arange(ring) < bench.scheme.entries(group)
        path = bench.folder / f"measured {kind}"
        block, size = bench.timed(
            f"encrypt {kind}", partial(engine.encrypt_block, keys, codes, path, group=group)
        )
        query = bench.timed(f"query {kind}", partial(engine.encrypt_query, keys, codes[: BITS // 8], group))
        bench.timed(f"load {kind}", partial(engine.load, block, group))
        check = partial(engine.check_block, keys, block, used=alive, seed=b"seed", group=group)
        evaluate = partial(engine.evaluate, keys, query, block, alive=alive, seed=b"seed", group=group)
        # What comes first reads keys, or encodes a circuit's numbers.
        if not QUICK:
            check()
        bench.timed(f"expand {kind}", partial(engine.expand, keys, query, group))
        evaluate(circuit=bit)
        made = bench.timed(f"evaluate {kind} {_CORES[0]}", partial(evaluate, circuit=bit))
        if not QUICK:
            evaluate(circuit=who)
            bench.timed(f"who {kind}", partial(evaluate, circuit=who))
            bench.timed(f"check block {kind}", check)
            bench.timed(f"check query {kind}", partial(engine.check_query, keys, query, b"seed", group))
            bench.use_threads(2)
            check()
            bench.timed(f"expand {kind} 2", partial(engine.expand, keys, query, group))
            evaluate(circuit=bit)
            bench.timed(f"evaluate {kind} 2", partial(evaluate, circuit=bit))
            bench.use_threads(1)
        sizes |= {f"block {kind}": size, f"query {kind}": len(query)}
    shares = bench.timed("shares", partial(bench.shares, made, "bit"))
    return {**sizes, "share": len(shares[0])}


def catalogue(bench: Bench, size: int) -> tuple[int, list[Task]]:
    """Return the kind of blocks of a catalogue, and its blocks, which are made when they are not there."""
    group = bench.scheme.group_for(size)
    most = bench.scheme.entries(group)
    tasks = []
    for start in range(0, size, most):
        count = min(most, size - start)
        name = group, start
        if name not in bench.blocks:
            codes = packed(random_codes(most, start))
            file, _size = bench.engine.encrypt_block(bench.keys, codes, bench.folder / f"{group} {start}", group=group)
            bench.blocks[name] = file
        tasks.append(Task(bench.blocks[name], np.arange(bench.scheme.ring) < count, b"%d" % start))
    return group, tasks


def totals(bench: Bench, sizes: Sequence[int]) -> dict[tuple[int, int], Spent]:
    """Return what one whole ``bit`` answer takes with the blocks in memory, by entries and cores."""
    circuit = compile_circuit(Policy.BIT, BITS, TAU)
    found = {}
    for cores in _CORES:
        with LocalWorkers(bench.scheme, 2, bench.engine.tag, cores=cores, memory=MEMORY) as workers:

            def answer(code: bytes, group: int, tasks: list[Task], workers: LocalWorkers = workers) -> None:
                job = Job(bench.keys, workers.engine.encrypt_query(bench.keys, code, group), circuit, group)
                output = workers.engine.add(workers.evaluate_blocks(job, tasks))
                bench.engine.fuse(bench.shares(output, "bit", workers.engine))

            for size in sizes:
                group, tasks = catalogue(bench, size)
                # Unmeasured: keys and blocks are read and numbers are encoded.
                answer(packed(random_codes(1, 1)), group, tasks)
                code = packed(random_codes(1, size))
                _made, found[size, cores] = timed(partial(answer, code, group, tasks), workers.process_ids)
    return found


def ray_nodes(bench: Bench, size: int) -> Spent | None:
    """Return what a catalogue takes on three Ray nodes of this machine, one of which is taken away in between.

    Raises:
        RuntimeError: the nodes' bytes are not one engine's.
    """
    if find_spec("ray") is None:
        return None
    import ray
    from ray.cluster_utils import Cluster

    group, tasks = catalogue(bench, size)
    circuit = compile_circuit(Policy.BIT, BITS, TAU)
    job = Job(bench.keys, bench.engine.encrypt_query(bench.keys, bytes(BITS // 8), group), circuit, group)
    expected = evaluate_here(bench.engine, job, tasks)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _node in range(2)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        workers = RayWorkers(None, bench.scheme, 2, bench.engine.tag, memory=4 << 30)
        first = workers.evaluate_blocks(job, tasks)
        second, spent = timed(partial(workers.evaluate_blocks, job, tasks), [])
        cluster.remove_node(nodes[0], allow_graceful=False)
        third = workers.evaluate_blocks(job, tasks)
        workers.close()
    finally:
        ray.shutdown()
        cluster.shutdown()
    if not first == second == third == expected:
        raise RuntimeError("Ray's nodes compute other bytes")
    return spent


def main() -> None:
    """Run the benchmark; see the module's text."""
    if not os.environ.get("PROVENANCE_OPENFHE"):
        engine_setup.set_up()
    load = os.getloadavg()[0]
    right = 0
    with opened(TOY) as bench:
        right += sum(right_answers(bench, group, TOY_QUERIES) for group in (ALONE, GROUPED))
    with opened(FULL, _CORES[0]) as bench:
        sizes = measure(bench)
        right += sum(right_answers(bench, group, FULL_QUERIES) for group in _KINDS)
        whole = totals(bench, SIZES)
        nodes = None if QUICK else ray_nodes(bench, RAY_SIZE)
        peak = bench.peak()
    queries = 2 * TOY_QUERIES + len(_KINDS) * FULL_QUERIES
    run = Run(FULL, TOY, TAU, load, queries, queries - right, bench.spent, sizes, whole, nodes, peak)
    marginal, total = run.marginal(2), whole[SIZES[-1], 2].seconds
    figures = {
        "entries": SIZES[-1],
        "tau": TAU,
        "total_s": round(total, 2),
        "total_1000_s": round(whole[SIZES[0], 2].seconds, 2),
        "marginal_us_per_entry": round(1e6 * marginal.seconds, 1),
        "marginal_processor_us_per_entry": round(1e6 * run.marginal(_CORES[0]).processor, 1),
        "paper_speedup_marginal": round(PAPER_SECONDS / marginal.seconds),
        "paper_speedup_total": round(SIZES[-1] * PAPER_SECONDS / total),
        "query_mb": round(sizes["query large"] / 1e6, 2),
        "bytes_per_entry": round(sizes["block large"] / FULL.ring),
        "queries": queries,
        "wrong": queries - right,
        "load_before": round(load, 2),
        **private_shares.run(),
    }
    publish(
        "private",
        title="Private catalogues: asking what nobody can read",
        markdown="" if QUICK else markdown(run),
        figures=figures,
        details={"scheme": FULL.id, "steps": {name: spent.seconds for name, spent in bench.spent.items()}},
    )


if __name__ == "__main__":
    main()
