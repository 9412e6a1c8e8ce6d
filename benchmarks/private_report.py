"""The section of ``RESULTS.md`` about encrypted catalogues."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.private_lookup.scheme import ALONE, GROUPED, Scheme

PAPER_SECONDS = 0.137
# Catalogues that were not measured, and workers of two cores each that share their blocks.
_LARGE = ((1_000_000, (1, 8, 31)), (100_000_000, (100, 1_000)))


@dataclass(frozen=True)
class Spent:
    """What something took: seconds on the clock, and of the processors that the engines kept busy."""

    seconds: float
    processor: float

    def each(self, count: int) -> Spent:
        """Return it divided."""
        return Spent(self.seconds / count, self.processor / count)


@dataclass(frozen=True)
class Run:
    """What one run measured.

    Attributes:
        full, toy: parameters.
        load: of the machine when the run began.
        queries: asked, each by both policies.
        wrong: of these, answered wrongly by any.
        spent: steps by name, "small" and "large" for blocks of entries of many slots and of one.
        sizes: bytes.
        whole: one answer, by entries and cores.
        nodes: a catalogue on Ray nodes; None where Ray is not installed.
        peak_bytes: of the engine that played all roles, the most of its processes.
    """

    full: Scheme
    toy: Scheme
    tau: int
    load: float
    queries: int
    wrong: int
    spent: dict[str, Spent]
    sizes: dict[str, int]
    whole: dict[tuple[int, int], Spent]
    nodes: Spent | None
    peak_bytes: int

    def marginal(self, threads: int) -> Spent:
        """Return what each further entry of a large catalogue takes."""
        return self.spent[f"evaluate large {threads}"].each(self.full.entries(ALONE))


def markdown(run: Run) -> str:
    """Return the section's text and tables."""
    small, large = run.full.entries(GROUPED), run.full.entries(ALONE)

    def both(name: str, entries: int = 0) -> str:
        spent = run.spent[name]
        words = f"{spent.seconds:.2f} s | {spent.processor:.2f} s |"
        if entries:
            each = spent.each(entries)
            words += f" {1e6 * each.seconds:.1f} µs, {1e6 * each.processor:.1f} µs"
        return words

    steps = {
        "joint keys of two parties": both("keys"),
        f"encrypt a large block, {large:,} entries": both("encrypt large", large),
        f"encrypt a small block, {small:,} entries": both("encrypt small", small),
        "read a large block into memory": both("load large", large),
        "encrypt a query of a large catalogue": both("query large"),
        "encrypt a query of a small one": both("query small"),
        "take a query of a large catalogue apart, once": both("expand large"),
        "the same with two threads": both("expand large 2"),
        "evaluate `bit` on a large block, one thread": both("evaluate large 1", large),
        "evaluate `bit` on a large block, two threads": both("evaluate large 2", large),
        "evaluate `who` on a large block, one thread": both("who large", large),
        "evaluate `bit` on a small block, one thread": both("evaluate small 1", small),
        "evaluate `bit` on a small block, two threads": both("evaluate small 2", small),
        "evaluate `who` on a small block, one thread": both("who small", small),
        "check that a query is well-formed, large": both("check query large"),
        "check that a query is well-formed, small": both("check query small"),
        "check that a large block is well-formed": both("check block large", large),
        "both parties' shares of a decryption": both("shares"),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in steps.items())
    sizes = sorted({size for size, _cores in run.whole})
    answers = "\n".join(_answer(run, size) for size in sizes)
    far = "\n".join(_far(run, entries, workers) for entries, some in _LARGE for workers in some)
    return f"""
`{run.full.id}` (128 bits of security), threshold {run.tau} of {run.full.code_length} bits. Other work may have
shared the processors (the machine's load was {run.load:.1f} when the run began), so both are given: seconds on the
clock, and processor seconds of the engines, which such work lengthens less.
{run.queries - run.wrong:,} of {run.queries:,} questions, each asked as `bit` and as `who`,
were answered rightly: 0, {run.tau} and {run.tau + 1} bits from an entry, and random ones,
in both kinds of blocks; most in a ring of {run.toy.ring} with the same circuits and depth.

| step | clock | processor | an entry: clock, processor |
|---|---|---|---|
{table}

| what | bytes |
|---|---|
| an entry | {run.sizes["block large"] / large:,.0f} |
| a query of a large catalogue | {run.sizes["query large"]:,} |
| a query of a small one | {run.sizes["query small"]:,} |
| one party's share of an answer | {run.sizes["share"]:,} |
| peak memory of one engine that plays all roles, with one thread or two | {run.peak_bytes:,} |

One whole `bit` answer with the blocks in memory: query, evaluation and two parties' shares one after the other, against
the paper's 137 ms an entry on 56 virtual processors. Up to 16,384 entries a catalogue has small blocks. Each further
entry of a large one is {PAPER_SECONDS / run.marginal(1).seconds:,.0f} times faster than there with one thread and
{PAPER_SECONDS / run.marginal(2).seconds:,.0f} times with two.

| entries | one core: clock, processor | two cores: clock, processor | paper | times, on two |
|---|---|---|---|---|
{answers}

{_ray(run)}

Not measured but extrapolated, from the clock with two threads: workers of two cores that share the blocks evenly, each
taking the query apart once; every keyholder computes as much again.

| entries | blocks | workers | seconds | memory of each | stored |
|---|---|---|---|---|---|
{far}

New keys for a catalogue cost a making of joint keys, the encryption of each entry and the check of each block, above;
for 100,000 entries {_rotation(run, 100_000):,.0f} s of processor time. With t of n keyholders, keys and shares take
longer in proportion to the sub-keys, of which there were two here.
"""


def _answer(run: Run, size: int) -> str:
    one, two, paper = run.whole[size, 1], run.whole[size, 2], size * PAPER_SECONDS
    return (
        f"| {size:,} | {one.seconds:.2f} s, {one.processor:.2f} s | {two.seconds:.2f} s, {two.processor:.2f} s |"
        f" {paper:,.0f} s | {paper / two.seconds:,.0f} |"
    )


def _far(run: Run, entries: int, workers: int) -> str:
    blocks = -(-entries // run.full.entries(ALONE))
    share = -(-blocks // workers)
    seconds = run.spent["expand large 2"].seconds + share * run.spent["evaluate large 2"].seconds
    size = run.sizes["block large"]
    return (
        f"| {entries:,} | {blocks:,} | {workers:,} | {seconds:,.0f} | {(share + 4) * size / 1e9:,.1f} GB |"
        f" {blocks * size / 1e12:.2f} TB |"
    )


def _rotation(run: Run, entries: int) -> float:
    blocks = -(-entries // run.full.entries(ALONE))
    each = run.spent["encrypt large"].processor + run.spent["check block large"].processor
    return run.spent["keys"].processor + blocks * each


def _ray(run: Run) -> str:
    if run.nodes is None:
        return "Ray was not installed."
    return (
        "Three Ray nodes on this machine gave the bytes of one engine for 8,192 entries, one block computed by two of"
        f" them, in {run.nodes.seconds:.1f} s; and again after one node was taken away."
    )
