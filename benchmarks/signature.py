"""The robust signature under edits, attacks and forgery, beside published watermarks.

Pictures: of the data's folder the ImageNet sample, the GPT-4o pictures and the test part of Flickr8k, in turn, none of
which was trained on. Signatures are written and read as the site does it, those of forgers and of who signs again by
one pass of the injector. They are read without the original, and count only if all their 64 bits are right.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import zip_longest
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from numpy.random import PCG64, Generator
from PIL import Image, ImageOps
from scipy.stats import chi2

from benchmarks import signature_attacks as attacks
from benchmarks import signature_peers
from benchmarks.hashing import Table
from benchmarks.recall import Cell
from benchmarks.results import FOLDER, QUICK, publish
from provenance.hashing.hasher import HASHERS
from provenance.images import edit_steps as step
from provenance.images.decode import decode
from provenance.images.edits import PRESETS
from provenance.images.quality import psnr, ssim
from provenance.matching.policy import POLICIES
from provenance.matching.verify import PairKind, verify_pair
from provenance.models.errors import ModelError
from provenance.training.pictures import DataMissing, Part, archive_path, part_of
from provenance.watermark.geometry import bit_values, placements
from provenance.watermark.networks import ALGORITHM, expected_pattern
from provenance.watermark.payload import Payload, authentication_tag, is_genuine
from provenance.watermark.payload import decode as decode_bits
from provenance.watermark.read import FALSE_ACCEPTANCE, read
from provenance.watermark.sign import CannotBeSigned, sign, sign_to_last

RGB = npt.NDArray[np.uint8]
Change = Callable[[RGB, Generator], RGB]

KEY = bytes(range(32))
PICTURES, PRESET_PICTURES, ATTACKED, PEER_PICTURES = (2, 0, 1, 2) if QUICK else (150, 3, 15, 21)
FORGED = 1 if QUICK else 200
PAIRS, RESTORER_STEPS = (2, 4) if QUICK else (80, 400)
CLEAN, WORDS_PER_PICTURE = (2, 10) if QUICK else (2000, 50)
TAG_START = 12
AVERAGED = 2 if QUICK else 50
# Of the pictures, in their order: those that are measured, forged ones with what each is put on, the attackers' own.
_FIRST_OWN = PICTURES + FORGED + 1
_FIRST_COMMON = _FIRST_OWN + PAIRS
# Signing has tried the draws of low seeds itself.
_SEED = 1_000_000
HASH = "dinohash-house-v2"
RESTORED = "restored by a network given pairs"
READ, ACCEPTED = ": read", ": accepted for the record"
AVERAGE = f"average of {AVERAGED} pictures of one generator put on another picture: read"
# dwtDct refuses pictures of fewer pixels.
_PEERS_LEAST = 256 * 256
_EXAMPLES, _EXAMPLE_SIZE = ("chelsea.jpg", "astronaut.jpg", "dragonfly.jpg"), (256, 200)
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SOURCES = {"imagenet_sample.tar": "ImageNet sample", "ai_gpt4o.tar": "GPT-4o", "flickr8k.tar": "Flickr8k"}

# The edits of the goals, in the terms of the field.
EDITS: dict[str, Change] = {
    "clean": lambda x, _: x,
    "JPEG 50": partial(step.jpeg, quality=50),
    "resize .5": partial(step.resize_by, low=0.5),
    "crop to 60 % of both sides": partial(step.crop_random, low=0.6, high=0.6),
    "rotation 10": partial(step.rotate, degrees=10),
    "flip": step.flip,
    "blur 2": partial(step.gaussian_blur, radius=2),
    "noise .03": partial(step.noise, sigma=0.03 * 255),
    "JPEG 30": partial(step.jpeg, quality=30),
    "crop to 60 %, JPEG 50": lambda x, random: step.jpeg(step.crop_random(x, random, low=0.6, high=0.6), random,
                                                         quality=50),
}  # fmt: skip
_KEYS = {"clean": "exact_clean", "JPEG 50": "exact_jpeg50", "resize .5": "exact_resize50",
         "crop to 60 % of both sides": "exact_crop60", "rotation 10": "exact_rotate10", "flip": "exact_flip",
         "blur 2": "exact_blur2", "noise .03": "exact_noise03"}  # fmt: skip


@dataclass(frozen=True)
class Signed:
    """What became of one signed picture."""

    source: str
    pixels: int
    decibels: float
    similarity: float
    exact: dict[str, bool]
    presets: dict[str, bool]


def pictures(first: int, count: int) -> Iterator[RGB]:
    """Yield so many test pictures from the ``first`` on, in an order that is random and always the same."""
    return (_picture(archive, name) for archive, name in _names()[first : first + count])


def _picture(archive: str, name: str) -> RGB:
    handle = _opened(archive).extractfile(name)
    assert handle is not None
    return decode(handle.read()).pixels


@cache
def _opened(archive: str) -> tarfile.TarFile:
    return tarfile.open(archive_path(archive))


@cache
def _sources() -> list[list[tuple[str, str]]]:
    sources = []
    for archive in SOURCES:
        names = [member.name for member in _opened(archive) if member.name.lower().endswith(_SUFFIXES)]
        if archive == "flickr8k.tar":
            names = [name for name in names if part_of(name) is Part.TEST]
        sources.append([(archive, names[index]) for index in Generator(PCG64(20)).permutation(len(names))])
    return sources


@cache
def _names() -> list[tuple[str, str]]:
    return [name for of_each in zip(*_sources(), strict=False) for name in of_each]


@cache
def _other_names() -> list[tuple[str, str]]:
    """Test pictures that are not among those of ``_names``, by turns of the sources that have more."""
    fewest = min(map(len, _sources()))
    return [name for of_each in zip_longest(*(names[fewest:] for names in _sources())) for name in of_each if name]


def payload_for(index: int, pixels: RGB) -> Payload:
    """Return the payload of a picture's record: its tag is of the picture's hash."""
    return Payload(index, authentication_tag(KEY, index, _hash(pixels)))


def _hash(pixels: RGB) -> bytes:
    return HASHERS[HASH].hash([pixels])[0].code.bits


def _apart(one: RGB, other: RGB) -> int:
    codes = [np.frombuffer(_hash(pixels), np.uint8) for pixels in (one, other)]
    return int(np.bitwise_count(codes[0] ^ codes[1]).sum())


def says(pixels: RGB, payload: Payload) -> bool:
    """Whether a picture's signature is read with all its bits."""
    return any(reading.payload == payload for reading in read(np.ascontiguousarray(pixels)))


def draws(index: int) -> Generator:
    """Return what the edits of a picture are drawn from, the same for ours and for the peers."""
    return Generator(PCG64(_SEED + index))


def run_one(index: int) -> Signed | None:
    """Sign one test picture and read it after every edit; None where the site would refuse to sign it."""
    (pixels,) = pictures(index, 1)
    payload = payload_for(index, pixels)
    signed = signed_or_none(pixels, payload)
    if signed is None:
        return None
    exact = {name: says(edit(signed, draws(index)), payload) for name, edit in EDITS.items()}
    presets = {}
    if index < PRESET_PICTURES:
        presets = {name: says(edit(signed, draws(index)), payload) for name, edit in PRESETS.items()}
    source = SOURCES[_names()[index][0]]
    size = pixels.shape[0] * pixels.shape[1]
    return Signed(source, size, psnr(pixels, signed), ssim(pixels, signed), exact, presets)


def signed_or_none(pixels: RGB, payload: Payload) -> RGB | None:
    """Sign as the site does; None where it would refuse."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        return sign_to_last(pixels, payload)
    except CannotBeSigned:
        return None


def false_words(index: int) -> tuple[int, int, int]:
    """Read a clean picture and pieces of its map, as if every number had a record: how many words, of how many the
    tag's first bits are right, and how many are genuine."""
    torch.set_num_threads(1)
    pixels = _picture(*_other_names()[index])
    found = expected_pattern(pixels)
    placed = placements(found, 1)
    random = Generator(PCG64(index))
    words = [reading.payload for reading in read(pixels)]
    for _ in range(WORDS_PER_PICTURE if placed else 0):
        top, left = (int(random.integers(0, size // 2)) for size in found.shape)
        piece = found[top : top + found.shape[0] // 2, left : left + found.shape[1] // 2]
        words.append(decode_bits(bit_values(piece, placed[0]))[0])
    subject = _hash(pixels)
    begun = sum(_first_bits(word.tag) == _first_bits(authentication_tag(KEY, word.number, subject)) for word in words)
    return len(words), begun, sum(is_genuine(KEY, word, subject) for word in words)


def _first_bits(tag: bytes) -> int:
    return int.from_bytes(tag, "big") >> (8 * len(tag) - TAG_START)


def attack_one(index: int, restorer: attacks.Restorer, commons: list[RGB]) -> dict[str, tuple[bool, float]]:
    """Sign one test picture and attack the signature in every way: whether it was read, and the PSNR to the original,
    in dB."""
    pixels, target = pictures(index, 2)
    payload = payload_for(index, pixels)
    signed = signed_or_none(pixels, payload)
    if signed is None:
        return {}
    removals = attacks.regenerations() | {
        RESTORED: partial(attacks.restored, restorer),
        "erased by gradients, 2/255": partial(attacks.erased, eps=2 / 255),
        "erased by gradients, 4/255": partial(attacks.erased, eps=4 / 255),
    }
    done = {}
    for name, attack in removals.items():
        after = attack(signed)
        done[name] = says(after, payload), psnr(pixels[: after.shape[0], : after.shape[1]], after)
    other = Payload(index + 1_000_000, payload.tag)
    twice = sign(signed, other)
    done["signed again: the first one read"] = says(twice, payload), psnr(pixels, twice)
    done["signed again: the second one read"] = says(twice, other), psnr(pixels, twice)
    mean = attacks.averaged(commons, target, 3.0)
    done[AVERAGE] = says(mean, _generator()), psnr(target, mean)
    return done


def forge_one(index: int) -> dict[str, tuple[bool, float]]:
    """Sign one test picture and move its signature to the next one in both ways: whether it was read, whether it was
    accepted, and the PSNR to the picture that it was put on, in dB."""
    pixels, target = pictures(index, 2)
    payload = payload_for(index, pixels)
    signed = signed_or_none(pixels, payload)
    if signed is None:
        return {}
    done = {}
    for how, copied in (
        ("what signing changed, added to another picture", attacks.moved(pixels, signed, target)),
        ("the payload, signed into another picture", sign(target, payload)),
    ):
        read_back = says(copied, payload)
        # As a check judges: the picture laid over the record's, or the hash where that cannot be done.
        kind = verify_pair(copied, pixels).kind if read_back else PairKind.REJECTED
        near = kind is PairKind.UNDECIDABLE and _apart(copied, pixels) <= POLICIES[HASH].near_radius
        done[how + READ] = read_back, psnr(target, copied)
        done[how + ACCEPTED] = kind in (PairKind.VERIFIED, PairKind.PARTIAL) or near, psnr(target, copied)
    return done


def peers_one(index: int) -> dict[str, tuple[float, dict[str, float]]]:
    """Return for each peer the PSNR of one signed test picture and the share of right bits after every edit; nothing
    for a picture too small for one of them."""
    (pixels,) = pictures(index, 1)
    if pixels.shape[0] * pixels.shape[1] < _PEERS_LEAST:
        return {}
    bits = Generator(PCG64(index)).random(32) < 0.5
    done = {}
    for name, peer in signature_peers.peers()[0].items():
        signed = peer.embed(pixels, bits)
        edited = {edit: change(signed, draws(index)) for edit, change in EDITS.items()}
        right = {edit: float((peer.extract(np.ascontiguousarray(x)) == bits).mean()) for edit, x in edited.items()}
        done[name] = psnr(pixels, signed), right
    return done


def _generator() -> Payload:
    return Payload(77, authentication_tag(KEY, 77, b"a generator"))


def main() -> None:
    """Run everything and write the section."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # One process a core: their own threads would only take turns.
    os.environ["OMP_NUM_THREADS"] = "1"
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        # Pictures of the attacker's own, with payloads of seeds that nothing was trained with.
        own = [pixels for pixels in pictures(_FIRST_OWN, PAIRS) if max(pixels.shape[:2]) < 4 * min(pixels.shape[:2])]
        payloads = [payload_for(500_000 + index, pixels) for index, pixels in enumerate(own)]
        signing = pool.map(signed_or_none, own, payloads)
        commons = pool.map(signed_or_none, pictures(_FIRST_COMMON, AVERAGED), [_generator()] * AVERAGED)
        running = pool.map(run_one, range(PICTURES))
        beside = pool.map(peers_one, range(PEER_PICTURES))
        forging = pool.map(forge_one, range(PICTURES, PICTURES + FORGED))
        reading = pool.map(false_words, range(CLEAN), chunksize=min(CLEAN, 20))
        pairs = [(plain, signed) for plain, signed in zip(own, signing, strict=True) if signed is not None]
        restorer = attacks.train_restorer(pairs, RESTORER_STEPS, seed=91)
        common = [signed for signed in commons if signed is not None]
        attacking = pool.map(partial(attack_one, restorer=restorer, commons=common), range(ATTACKED))
        runs = [run for run in running if run is not None]
        words = list(reading)
        attacked, forgeries = ([each for each in done if each] for done in (attacking, forging))
        peered = [each for each in beside if each]
    exact = {name: Cell(sum(run.exact[name] for run in runs), len(runs)) for name in EDITS}
    with_presets = [run.presets for run in runs if run.presets]
    presets = {
        name: Cell(sum(each[name] for each in with_presets), len(with_presets)) for name in PRESETS if with_presets
    }
    after = {
        name: (Cell(sum(one[name][0] for one in each), len(each)), float(np.mean([one[name][1] for one in each])))
        for each in (attacked, forgeries)
        for name in each[0]
    }
    found, absent = signature_peers.peers()
    if not peered:
        found = {}
    shares = {
        name: {edit: (float(np.mean(values)), float(np.mean(np.array(values) == 1)))
               for edit in EDITS for values in [[each[name][1][edit] for each in peered]]}
        for name in found
    }  # fmt: skip
    peer_decibels = {name: float(np.mean([each[name][0] for each in peered])) for name in found}
    forged = {name: value for name, value in after.items() if name.endswith((READ, ACCEPTED)) or name == AVERAGE}
    removed = {name: value for name, value in after.items() if name not in forged}
    of_each = [any(value for name, (value, _) in each.items() if name.endswith(ACCEPTED)) for each in forgeries]
    accepted_forgery = Cell(sum(of_each), len(of_each))
    asked, begun, accepted = (sum(column) for column in zip(*words, strict=True))
    begun_low, begun_high = (chi2.ppf(share, 2 * begun + more) / 2 for share, more in ((0.025, 0), (0.975, 2)))
    restoration, restoration_db = removed[RESTORED]
    decibels = float(np.mean([run.decibels for run in runs]))
    figures: dict[str, Any] = {
        **_faithful(),
        "robust_psnr_db": round(decibels, 2),
        "bits": 64,
        **{key: round(exact[name].share, 4) for name, key in _KEYS.items()},
        "restoration_detected": round(restoration.share, 4),
        "restoration_psnr_db": round(restoration_db, 2),
        "forgery_accepted": round(accepted_forgery.share, 4),
        "clean_pictures": CLEAN,
        "clean_words": asked,
        "words_with_first_12_bits": begun,
        "false_accepts": accepted,
        "rivagan_bit_accuracy_jpeg50": round(shares["RivaGAN"]["JPEG 50"][0], 4) if "RivaGAN" in shares else None,
    }
    tables = {
        "edits": _edits_table(exact, shares, decibels, peer_decibels),
        "sources": _sources_table(runs),
        "presets": Table(["preset", "all 64 bits right, per cent"],
                         [[name, cell.text] for name, cell in presets.items()]),
        "removal": Table(["attack", "read, per cent", "PSNR to the original, dB"],
                         [[name, cell.text, f"{db:.1f}"] for name, (cell, db) in removed.items()]),
        "forgery": Table(["forgery", "per cent", "PSNR to the picture it was put on, dB"],
                         [[name, cell.text, f"{db:.1f}"] for name, (cell, db) in forged.items()]),
    }  # fmt: skip
    lowest, highest = (each(run.decibels for run in runs) for each in (min, max))
    left_out = "".join(f"\n\n{name} is left out: {command}" for name, command in absent.items())
    markdown = f"""
{len(runs)} test pictures ({PICTURES - len(runs)} more would be refused), signed at {decibels:.2f} dB on average after
rounding to 8 bits ({lowest:.1f} to {highest:.1f}; mean SSIM {np.mean([run.similarity for run in runs]):.4f}): pictures
with more texture are changed more. Signing itself tries other pieces of 60 %, this very blur, noise .03 of other draws
and JPEG 40, and fits its change to the picture where one of them fails; what else is below it does not try.
All 64 bits right, per cent with 95 % intervals (Wilson). The peers have 32 bits, on {len(peered)} of the
pictures; their columns show the share of right bits, then of pictures with all 32 right:

{tables["edits"].to_markdown()}{left_out}

The same by where the pictures come from, with the mean of the square root of their pixels: a blur or a crop of a small
picture takes more of it. Of Flickr8k other pictures were learnt from, of the other two none.

{tables["sources"].to_markdown()}

**Attacks** on {len(attacked)} pictures by somebody with both networks. The restoring network has the detector's shape
and was trained for {RESTORER_STEPS:,} steps on {len(pairs)} pairs of other pictures:

{tables["removal"].to_markdown()}

**Forgery**, on {len(forgeries)} pictures, the average on {len(attacked)}. Whoever reads a signature can write it into
another picture. So a record's is accepted only where the picture, laid over the record's, agrees at least in part, or,
where one of the two is too plain for that, by its hash. Of
{accepted_forgery.text} per cent of the pictures a forgery was accepted; they are ordinary ones, neither plain nor
calculated to have the record's hash.
A generator's signature belongs to no picture, so that a copy of it is read: it is a pointer, not a proof.

{tables["forgery"].to_markdown()}

**False acceptance.** {asked:,} words read from {CLEAN:,} clean pictures, of ImageNet and Flickr8k and none of those
above, and from pieces of them, each asked as if every number had a record: {accepted} accepted. So few could not show
how small the chance is; the first {TAG_START} bits of the tag can: {begun} words had them right, where
{asked / 2**TAG_START:.1f} are expected of chance (95 % interval of the {begun}, Poisson: {begun_low or 0:.1f} to
{begun_high:.1f}). All 40 bits are right by chance in {FALSE_ACCEPTANCE:.1e} of the pictures (2^-38: four words each)
that were made without the key and without a genuine signature of the same record, HMAC taken as a random function.

**Every named edit** ({len(with_presets)} pictures each):

{tables["presets"].to_markdown()}

![Original, signed, twenty times the difference](results/signature_examples.png)
"""
    if not QUICK:
        draw_examples()
    publish(
        "signature",
        title="Signatures: read after edits and attacks",
        markdown=markdown,
        figures=figures,
        details={"algorithm": ALGORITHM, "pictures": len(runs), "lowest": lowest,
                 "tables": {name: asdict(table) for name, table in tables.items()},
                 "seconds": round(time.monotonic() - began)},
    )  # fmt: skip


def _edits_table(
    exact: dict[str, Cell],
    shares: dict[str, dict[str, tuple[float, float]]],
    decibels: float,
    peer_decibels: dict[str, float],
) -> Table:
    rows = [["PSNR, dB", f"{decibels:.1f}", *(f"{peer_decibels[name]:.1f}" for name in shares)]]
    for edit, cell in exact.items():
        others = [f"{100 * bits:.1f}; {100 * whole:.0f}" for bits, whole in (share[edit] for share in shares.values())]
        rows.append([edit, cell.text, *others])
    return Table(["edit", "ours, 64 bits", *(f"{name}, 32 bits" for name in shares)], rows)


def _sources_table(runs: list[Signed]) -> Table:
    parts = {source: [run for run in runs if run.source == source] for source in SOURCES.values()}
    parts = {source: part for source, part in parts.items() if part}
    rows = [
        ["pixels a side", *(f"{np.mean([run.pixels**0.5 for run in part]):.0f}" for part in parts.values())],
        ["PSNR, dB", *(f"{np.mean([run.decibels for run in part]):.1f}" for part in parts.values())],
    ]
    for edit in EDITS:
        rows.append([edit, *(Cell(sum(run.exact[edit] for run in part), len(part)).text for part in parts.values())])
    return Table(["edit", *(f"{source}, {len(part)} pictures" for source, part in parts.items())], rows)


def draw_examples() -> None:
    """Draw three free pictures of the sample catalogue: original, signed, twenty times the difference around grey."""
    rows = []
    for number, name in enumerate(_EXAMPLES):
        image = Image.open(FOLDER.parent / "sample" / name).convert("RGB")
        pixels = np.asarray(ImageOps.fit(image, _EXAMPLE_SIZE))
        signed = sign_to_last(pixels, payload_for(number, pixels))
        difference = np.clip(128 + 20 * (signed.astype(np.int64) - pixels), 0, 255).astype(np.uint8)
        rows.append(np.concatenate([pixels, signed, difference], 1))
    Image.fromarray(np.concatenate(rows)).save(FOLDER / "results" / "signature_examples.png", optimize=True)


def _faithful() -> dict[str, float | None]:
    """The figures of the paper's own injector and detector, as ``benchmarks.signature_paper`` stored them."""
    path = FOLDER / "results" / "signature_paper.json"
    stored = json.loads(path.read_text()) if path.is_file() else {}
    run = stored.get("stage_one", {}).get("n1")
    return {
        "faithful_psnr_db": run and round(run["psnr_db"], 2),
        "faithful_accuracy": run and round(run["accuracy"]["share"], 4),
    }


if __name__ == "__main__":
    try:
        main()
    except (DataMissing, ModelError) as problem:
        sys.exit(str(problem))
