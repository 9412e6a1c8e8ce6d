"""Works signed while they are decoded, beside works that were signed afterwards.

    python -m benchmarks.signature_decoder WORK

``WORK`` is the folder that ``python -m provenance.training.signing_decoder WORK`` filled. Works: the prompts of
:mod:`benchmarks.artwork`, painted fast with one key, and test photographs that no network was trained on, each encoded
at every side.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from platformdirs import user_cache_path
from scipy.stats import binomtest

from benchmarks.artwork import PROMPTS, key_picture, recipe_for, signature_of
from benchmarks.recall import Cell
from benchmarks.results import QUICK, publish
from benchmarks.signature import EDITS, draws, says
from provenance.artwork.generator import generate
from provenance.artwork.recipe import Mode, Preset
from provenance.artwork.tiers import load_small_vqgan
from provenance.images.align import resized
from provenance.images.quality import is_identical, psnr
from provenance.models.errors import ModelError
from provenance.models.small_vqgan import STRIDE
from provenance.training.artwork_pictures import held_out_photographs
from provenance.training.pictures import DataMissing, Part, part_of
from provenance.training.signing_decoder import NAME, trained
from provenance.watermark.networks import RGB
from provenance.watermark.pattern import CANONICAL_SIDE, sampled
from provenance.watermark.payload import Payload, encode
from provenance.watermark.sign import CannotBeSigned, sign, sign_to_last

SIDES = (128, 192, 256)
_PAINTED = Preset(192, 60, 16)
PAINTINGS, PHOTOGRAPHS = (1, 1) if QUICK else (len(PROMPTS), 20)
WHILE_DECODING, ONE_PASS = "while decoding", "after it, by one pass"
WAYS = (WHILE_DECODING, ONE_PASS, "after it, fitted, as the site does")

Codes = npt.NDArray[np.int64]


class Decoder:
    """The shipped decoder with a trained head.

    Raises:
        ModelError: as :func:`provenance.training.signing_decoder.trained`.
    """

    def __init__(self, head: Path) -> None:
        torch.set_num_threads(1)
        self.vqgan = load_small_vqgan()
        self.net, self.training = trained(head)

    @torch.no_grad()
    def both(self, codes: Codes, payload: Payload) -> tuple[RGB, RGB]:
        """Decode codes ``[books, h, h]``, plain and signed: uint8 ``[H, H, 3]`` each."""
        latent = self.vqgan.look_up(torch.from_numpy(codes)[None])
        side = STRIDE * latent.shape[2]
        # Where its pixels lie in the copy that signatures are computed on.
        places = (np.arange(side) + 0.5) * CANONICAL_SIDE / side - 0.5
        plain, change = self.net(latent, torch.from_numpy(sampled(encode(payload), places, places))[None, None])
        return _pixels(plain), _pixels(plain + change)

    @torch.no_grad()
    def codes(self, pixels: RGB) -> Codes:
        """Encode uint8 ``[H, W, 3]``: int64 ``[books, H / 8, W / 8]``."""
        given = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        return np.asarray(self.vqgan.encode(given)[0].numpy())


def _pixels(pixels: torch.Tensor) -> RGB:
    return np.asarray(((pixels[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


@cache
def _decoder(head: Path) -> Decoder:
    return Decoder(head)


def painted(prompt: str) -> Codes:
    """Return the codes of a prompt's painting."""
    torch.set_num_threads(1)
    signature = signature_of(key_picture(0))
    recipe = recipe_for(signature, _PAINTED, mode=Mode.FAST, prompt=prompt)
    return generate(recipe, prompt, signature.key).codes


def signed_every_way(codes: Codes, number: int, head: Path) -> dict[str, tuple[float | None, dict[str, bool]]]:
    """Sign one work in each of :data:`WAYS`: the PSNR to the plainly decoded one in dB, None where it was refused or
    nothing was changed, and by edit whether all 64 bits were read."""
    payload = Payload(number, draws(number).bytes(5))
    plain, while_decoding = _decoder(head).both(codes, payload)
    signers: tuple[Callable[[], RGB], ...] = (
        lambda: while_decoding,
        partial(sign, plain, payload),
        partial(sign_to_last, plain, payload),
    )
    found: dict[str, tuple[float | None, dict[str, bool]]] = {}
    for way, signer in zip(WAYS, signers, strict=True):
        try:
            signed = signer()
        except CannotBeSigned:
            found[way] = None, dict.fromkeys(EDITS, False)
            continue
        edited = {name: edit(signed, draws(number)) for name, edit in EDITS.items()}
        ratio = None if is_identical(plain, signed) else psnr(plain, signed)
        found[way] = ratio, {name: says(np.ascontiguousarray(each), payload) for name, each in edited.items()}
    return found


def measure(head: Path) -> dict[str, Any]:
    """Sign paintings, and photographs as codes, in every way.

    Args:
        head: of :mod:`provenance.training.signing_decoder`.

    Returns:
        ``training``: the recipe and its curve; ``rows``: by group and way how many works, how many refused or
        unchanged, mean PSNR of the others with the 95 % interval of the mean, and by edit how many were read of how
        many; ``only``: how many works times edits were read only when signed while decoding, and only by one pass.

    Raises:
        DataMissing, ModelError: the photographs, or a network, are not here.
    """
    decoder, photographs = _decoder(head), _photographs()
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        groups = {f"{PAINTINGS} paintings of {_PAINTED.side} pixels": list(pool.map(painted, PROMPTS[:PAINTINGS]))}
        for side in SIDES:
            group = f"{len(photographs)} photographs of {side} pixels"
            groups[group] = [decoder.codes(resized(pixels, (side, side))) for pixels in photographs]
        works = [codes for group in groups.values() for codes in group]
        done = list(pool.map(partial(signed_every_way, head=head), works, range(len(works))))
    rows, first = {}, 0
    for group, codes in groups.items():
        part, first = done[first : first + len(codes)], first + len(codes)
        rows[group] = {way: _row([each[way] for each in part]) for way in WAYS}
    pairs = [(each[WHILE_DECODING][1][name], each[ONE_PASS][1][name]) for each in done for name in EDITS]
    only = [pairs.count((True, False)), pairs.count((False, True))]
    return {"training": decoder.training, "rows": rows, "only": only}


def _row(signed: list[tuple[float | None, dict[str, bool]]]) -> dict[str, Any]:
    ratios = [ratio for ratio, _read in signed if ratio is not None]
    half = 1.96 * float(np.std(ratios, ddof=1)) / math.sqrt(len(ratios)) if len(ratios) > 1 else None
    return {
        "works": len(signed),
        "refused_or_unchanged": len(signed) - len(ratios),
        "psnr_db": float(np.mean(ratios)) if ratios else None,
        "psnr_half_interval_db": half,
        "read": {name: sum(read[name] for _ratio, read in signed) for name in EDITS},
    }


def _photographs() -> list[RGB]:
    """Return square test photographs that neither the VQGAN nor the signature's networks were trained on."""
    found = held_out_photographs()
    return [
        pixels
        for name, pixels in zip(found.names, found.pixels, strict=True)
        if part_of(name.removeprefix("flickr8k/")) is Part.TEST
    ][:PHOTOGRAPHS]


def text(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    recipe, curve = results["training"]["recipe"], results["training"]["curve"]
    step = max(1, len(curve) // 5)
    shown = {line["step"]: line["error"] for line in (*curve[step - 1 :: step], curve[-1])}
    lines = [f"| works | signed | PSNR, dB | {' | '.join(EDITS)} |", "|---|---|---|" + "---|" * len(EDITS)]
    refused = 0
    for group, ways in results["rows"].items():
        for way, row in ways.items():
            refused += row["refused_or_unchanged"]
            half = row["psnr_half_interval_db"]
            ratio = "" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}"
            ratio += "" if half is None else f" ± {half:.1f}"
            shares = " | ".join(Cell(row["read"][name], row["works"]).text for name in EDITS)
            lines.append(f"| {group} | {way} | {ratio} | {shares} |")
    mine, other = results["only"]
    chance = binomtest(mine, mine + other).pvalue if mine + other else 1.0
    table = "\n".join(lines)
    return f"""
A head beside the decoder's last layer writes the 64 bits of the robust signature while an artwork is decoded. The
decoder does not learn to sign, and whoever has the weights can leave the head away: what this shows is that a work can
come into being with its number, not that it cannot be had without. The work decoded plain is the control; it is what
the decoder always made. The head was trained for {recipe['steps']:,} steps of {recipe['batch']}; the detector's error
then (mean square over the pattern's variance, after edits, of training pictures):
{', '.join(f'{error:.3f} ({step:,})' for step, error in shown.items())}.

All 64 bits right, per cent with 95 % intervals (Wilson); PSNR to the work decoded plain, with the 95 % interval of its
mean; {refused} were refused or left unchanged. One pass is of the signature's own injector. Fitting tries crops to
60 %, this blur, noise of other draws and JPEG 40 itself, and may go 4 dB further. Nothing is known of sides above 256.

{table}

Of all works and edits {mine} were read only when signed while decoding, {other} only after one pass of the injector
(exact McNemar test, works and edits taken as independent, which they are not: p = {chance:.2g}). Where the PSNR differs
too, part of that is strength.
"""


def main() -> None:
    """Measure a head, and say what makes it where there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, nargs="?", default=user_cache_path("provenance") / NAME)
    work: Path = parser.parse_args().work
    head = work / f"{NAME}.safetensors"
    if not head.is_file():
        parser.exit(2, f"{head} is not there. Train it first: python -m provenance.training.signing_decoder {work}\n")
    try:
        results = measure(head)
    except (DataMissing, ModelError) as problem:
        parser.exit(2, f"{problem}\n")
    shares = {
        name: round(
            sum(ways[WHILE_DECODING]["read"][name] for ways in results["rows"].values())
            / sum(ways[WHILE_DECODING]["works"] for ways in results["rows"].values()),
            4,
        )
        for name in ("clean", "JPEG 50", "crop to 60 % of both sides")
    }
    publish(
        "signature_decoder",
        title="Artworks signed while they are decoded",
        markdown=text(results),
        figures={
            "exact_clean": shares["clean"],
            "exact_jpeg50": shares["JPEG 50"],
            "exact_crop60": shares["crop to 60 % of both sides"],
            "only_while_decoding": results["only"][0],
            "only_one_pass": results["only"][1],
        },
        details=results,
    )


if __name__ == "__main__":
    main()
