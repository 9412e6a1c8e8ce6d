"""Private look-ups: what asking an encrypted catalogue costs at 128 bits of security, and how many answers are right.

One engine plays all roles, one after the other; in production each party has its own, and an answer takes the slowest
of them and not their sum. The costs are measured at the full parameters. Answers are counted at the full parameters
and, many more of them, in a small ring with the same circuit, modulus and depth. A query is 0, tau or tau + 1 bits from
an entry, or is random. The paper's figure (arXiv 2503.11195): 137 ms an entry on 56 virtual processors.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import private_shares
from benchmarks.results import QUICK, publish
from provenance.private_lookup import engine_setup
from provenance.private_lookup.circuit import Policy, compile_circuit
from provenance.private_lookup.engine import Engine, FileName, JointKeys, Limits
from provenance.private_lookup.scheme import DEFAULT_TAU, SCHEMES, Scheme

TAU, BITS = DEFAULT_TAU, 96
FULL, TOY = SCHEMES[f"bgv-v1-{BITS}"], SCHEMES[f"toy-bgv-v1-{BITS}"]
SIZES = (1_000,) if QUICK else (1_000, 8_192, 32_768, 100_000)
FULL_QUERIES, TOY_QUERIES = (1, 4) if QUICK else (8, 500)
PAPER_SECONDS = 0.137
DISTANCES = (0, TAU, TAU + 1, None)


@dataclass
class Bench:
    """An engine with joint keys of two parties, and how long things took.

    Attributes:
        seconds: by name.
    """

    engine: Engine
    keys: JointKeys
    secrets: list[bytes]
    folder: Path
    seconds: dict[str, float]

    @property
    def scheme(self) -> Scheme:
        """The engine's."""
        return self.engine.scheme

    def decrypt(self, ciphertext: bytes, mode: str) -> npt.NDArray[np.uint32]:
        """Return what both parties decrypt together."""
        began = time.perf_counter()
        shares = [
            self.engine.share_decryption(
                secret, ciphertext, lead=number == 0, mode=mode, common=b"common", own=os.urandom(32)
            )
            for number, secret in enumerate(self.secrets)
        ]
        self.seconds["share"] = (time.perf_counter() - began) / len(shares)
        self.share_bytes = len(shares[0])
        return self.engine.fuse(shares)


@contextmanager
def opened(scheme: Scheme, most_blocks: int, threads: int = 1) -> Iterator[Bench]:
    """Make joint keys of two parties."""
    with (
        tempfile.TemporaryDirectory() as place,
        Engine(scheme, 2, "bench", Limits(most_blocks=most_blocks, threads=threads), engine_setup.find()) as engine,
    ):
        folder = Path(place)
        engine.status()
        began = time.perf_counter()
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
        for index in scheme.automorphisms:
            lead = engine.share_automorphism(secrets[0], index, None)
            other = engine.share_automorphism(secrets[1], index, lead)
            automorphisms[index] = keep(str(index), engine.join("automorphism", [lead, other]))
        keys = JointKeys(public, relin, automorphisms)
        yield Bench(engine, keys, list(secrets), folder, {"keys": time.perf_counter() - began})


def random_codes(count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return uint8 ``[count, BITS]`` of 0 and 1."""
    return np.random.default_rng(seed).integers(0, 2, (count, BITS), dtype=np.uint8)


def asked(codes: npt.NDArray[np.uint8], number: int) -> tuple[npt.NDArray[np.uint8], bool]:
    """Return a query, near an entry or not, and whether any entry is within tau of it."""
    chosen = np.random.default_rng(10_000 + number)
    distance = DISTANCES[number % len(DISTANCES)]
    query = chosen.integers(0, 2, BITS, dtype=np.uint8)
    if distance is not None:
        query = codes[chosen.integers(len(codes))].copy()
        query[chosen.choice(BITS, distance, replace=False)] ^= 1
    return query, bool(((codes != query).sum(axis=1) <= TAU).any())


def packed(bits: npt.NDArray[np.uint8]) -> bytes:
    """Return codes as the engine takes them."""
    return np.packbits(bits, axis=-1).tobytes()


def right_answers(bench: Bench, entries: int, count: int) -> int:
    """Ask ``count`` questions, each by both policies, and return how many answers were right; 2 * count at best."""
    codes = random_codes(entries, 1)
    block, _size = bench.engine.encrypt_block(bench.keys, packed(codes), bench.folder / "right")
    alive = np.arange(bench.scheme.ring) < entries
    right = 0
    for number in range(count):
        query, expected = asked(codes, number)
        ciphertext = bench.engine.encrypt_query(bench.keys, packed(query))
        for policy in Policy:
            circuit = compile_circuit(policy, BITS, TAU)
            seed = b"%d" % number
            made = bench.engine.evaluate(bench.keys, ciphertext, block, circuit, alive=alive, seed=seed)
            values = bench.decrypt(made, str(policy))
            if policy is Policy.BIT:
                right += bool(values[0]) == expected
            else:
                near = (codes != query).sum(axis=1) <= TAU
                right += np.array_equal(np.flatnonzero(values == 0), np.flatnonzero(near))
    return right


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Cost:
    """What asking costs at the full parameters, in seconds and bytes; ``block`` is one block of 32,768 slots."""

    keys: float
    encrypt_block: float
    load_block: float
    encrypt_query: float
    expand: float
    evaluate_block: dict[str, float]
    check_query: float
    check_block: float
    share: float
    query_bytes: int
    block_bytes: int
    share_bytes: int
    peak_bytes: int


def measure(bench: Bench) -> Cost:
    """Measure each step once, on one full block."""
    engine, keys, ring = bench.engine, bench.keys, bench.scheme.ring
    codes = random_codes(ring, 2)
    alive = np.ones(ring, bool)
    began = time.perf_counter()
    block, size = engine.encrypt_block(keys, packed(codes), bench.folder / "measured")
    encrypt_block = time.perf_counter() - began
    began = time.perf_counter()
    query = engine.encrypt_query(keys, packed(codes[0]))
    encrypt_query = time.perf_counter() - began
    load_block = timed(lambda: engine.load(block))
    expand = timed(lambda: engine.expand(keys, query))
    evaluate = {}
    for policy in (Policy.BIT,) if QUICK else tuple(Policy):
        circuit = compile_circuit(policy, BITS, TAU)
        # The first time, the circuit's numbers are encoded.
        made = engine.evaluate(keys, query, block, circuit, alive=alive, seed=b"first")
        evaluate[str(policy)] = timed(
            partial(engine.evaluate, keys, query, block, circuit, alive=alive, seed=b"second")
        )
        bench.decrypt(made, str(policy))
    check_query = check_block = 0.0
    if not QUICK:
        check_query = timed(lambda: engine.check_query(keys, query, b"seed"))
        check_block = timed(lambda: engine.check_block(keys, block, used=alive, seed=b"seed"))
    return Cost(
        keys=bench.seconds["keys"],
        encrypt_block=encrypt_block,
        load_block=load_block,
        encrypt_query=encrypt_query,
        expand=expand,
        evaluate_block=evaluate,
        check_query=check_query,
        check_block=check_block,
        share=bench.seconds["share"],
        query_bytes=len(query),
        block_bytes=size,
        share_bytes=bench.share_bytes,
        peak_bytes=engine.status()["peak_bytes"],
    )


def totals(bench: Bench) -> dict[int, float]:
    """Return, for each size, the measured seconds of one ``bit`` answer with the blocks in memory."""
    engine, keys, ring = bench.engine, bench.keys, bench.scheme.ring
    blocks: list[tuple[FileName, npt.NDArray[np.bool_]]] = []
    circuit = compile_circuit(Policy.BIT, BITS, TAU)
    found = {}
    for size in SIZES:
        while sum(int(alive.sum()) for _file, alive in blocks) < size:
            count = min(ring, size - sum(int(alive.sum()) for _file, alive in blocks))
            codes = packed(random_codes(count, 100 + len(blocks)))
            alive = np.arange(ring) < count
            file, _size = engine.encrypt_block(keys, codes, bench.folder / f"block{len(blocks)}")
            engine.load(file)
            blocks.append((file, alive))
        code = packed(random_codes(1, 7)[0])

        def answer(code: bytes = code) -> None:
            query = engine.encrypt_query(keys, code)
            made = [
                engine.evaluate(keys, query, file, circuit, alive=alive, seed=b"%d" % number)
                for number, (file, alive) in enumerate(blocks)
            ]
            bench.decrypt(engine.add(made), "bit")

        found[size] = timed(answer)
    return found


def main() -> None:
    """Run the benchmark; see the module's text."""
    load = os.getloadavg()[0]
    with opened(TOY, 1) as bench:
        right = right_answers(bench, min(200, TOY.ring), TOY_QUERIES)
    with opened(FULL, 1 if QUICK else 5) as bench:
        cost = measure(bench)
        if QUICK:
            whole = {}
        else:
            right += right_answers(bench, FULL.ring, FULL_QUERIES)
            whole = totals(bench)
    answers = 2 * (TOY_QUERIES + (0 if QUICK else FULL_QUERIES))
    marginal = cost.evaluate_block["bit"] / FULL.ring
    # One block is the least that is evaluated; a quick run adds up its steps.
    one_block = cost.encrypt_query + cost.expand + cost.evaluate_block["bit"] + 2 * cost.share
    entries = SIZES[-1]
    total = whole.get(entries, one_block)
    figures = {
        "entries": entries,
        "tau": TAU,
        "bits": BITS,
        "expand_s": round(cost.expand, 2),
        "us_per_entry": round(1e6 * marginal, 1),
        "query_bytes": cost.query_bytes,
        "bytes_per_entry": round(cost.block_bytes / FULL.ring),
        "correct_answers": right,
        "wrong_answers": answers - right,
        "total_s": round(total, 2),
        "paper_speedup_marginal": round(PAPER_SECONDS / marginal),
        "paper_speedup_total": round(entries * PAPER_SECONDS / total),
        "load_before": round(load, 2),
        **private_shares.run(),
    }
    publish(
        "private",
        title="Private catalogues: asking what nobody can read",
        markdown=_markdown(cost, whole, right, answers, load),
        figures=figures,
        details={"scheme": FULL.id, "cost": {name: getattr(cost, name) for name in Cost.__dataclass_fields__}},
    )


def _markdown(cost: Cost, whole: dict[int, float], right: int, answers: int, load: float) -> str:
    def each(seconds: float) -> str:
        return f"{seconds:.2f} s a block, {1e6 * seconds / FULL.ring:.1f} µs an entry"

    rows = {
        "joint keys of two parties": f"{cost.keys:.1f} s",
        "encrypt 32,768 entries, a block": each(cost.encrypt_block),
        "size of a block": f"{cost.block_bytes / 1e6:.0f} MB, {cost.block_bytes / FULL.ring:,.0f} bytes an entry",
        "load a block into memory": f"{cost.load_block:.1f} s",
        "encrypt a query": f"{cost.encrypt_query:.2f} s, {cost.query_bytes / 1e6:.2f} MB",
        "take a query apart, once": f"{cost.expand:.1f} s",
        **{f"evaluate `{policy}`": each(seconds) for policy, seconds in cost.evaluate_block.items()},
        "check that a query is well-formed": f"{cost.check_query:.1f} s",
        "check that a block is well-formed": f"{cost.check_block:.1f} s",
        "a share of a decryption": f"{cost.share:.2f} s, {cost.share_bytes / 1e6:.2f} MB",
        "peak memory, all roles in one engine": f"{cost.peak_bytes / 1e9:.1f} GB",
    }
    steps = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    sizes = "\n".join(
        f"| {size:,} | {seconds:.1f} s | {size * PAPER_SECONDS:,.0f} s | {size * PAPER_SECONDS / seconds:,.0f} |"
        for size, seconds in whole.items()
    )
    marginal = PAPER_SECONDS * FULL.ring / cost.evaluate_block["bit"]
    return f"""
`{FULL.id}` (128 bits of security), threshold {TAU} of {BITS} bits, one thread; the machine's load was {load:.1f} when
the run began. {right:,} of {answers:,} answers were right: `bit` and `who`, queries 0, {TAU} and {TAU + 1} bits from an
entry, and random ones; {2 * FULL_QUERIES} of them at the full parameters, the others in a ring of {TOY.ring}.

| step | cost |
|---|---|
{steps}

One whole `bit` answer with the blocks in memory, two parties' shares one after the other, against the paper's 137 ms an
entry on 56 virtual processors; each further entry is {marginal:,.0f} times faster than there:

| entries | here | paper | times |
|---|---|---|---|
{sizes}
"""


if __name__ == "__main__":
    main()
