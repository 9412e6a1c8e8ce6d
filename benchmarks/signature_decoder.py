"""The artworks' decoder that signs while it decodes, beside signing what the plain one decoded.

Works: the prompts of :mod:`benchmarks.artwork`, painted fast, and test photographs, none of which the networks were
trained on, as the artworks' VQGAN encodes them. Each is decoded plain, which is the control (the plain decoder is not
changed by the training), and with a payload of its own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from numpy.random import PCG64, Generator
from safetensors import safe_open
from safetensors.torch import load_file

from benchmarks.artwork import PROMPTS, key_picture, recipe_for, signature_of
from benchmarks.recall import Cell
from benchmarks.results import QUICK
from benchmarks.signature import EDITS, says
from provenance.artwork.generator import generate
from provenance.artwork.recipe import Mode, Preset
from provenance.artwork.tiers import load_small_vqgan
from provenance.images.quality import psnr
from provenance.models.signing_decoder import SigningDecoder
from provenance.models.small_vqgan import STRIDE
from provenance.training.artwork_pictures import held_out_photographs
from provenance.training.pictures import Part, part_of
from provenance.watermark.networks import RGB
from provenance.watermark.pattern import CANONICAL_SIDE, sampled
from provenance.watermark.payload import Payload, encode
from provenance.watermark.sign import CannotBeSigned, sign, sign_to_last

SIDES = (128, 192, 224)
_PAINTED = Preset(192, 60, 16)
PHOTOGRAPHS = 3 if QUICK else 45
_SEED = 90_001

Codes = npt.NDArray[np.int64]
WAYS = ("while decoding", "one pass of the injector", "fitted, as the site signs")


class Decoder:
    """The trained head on the shipped decoder."""

    def __init__(self, head: Path) -> None:
        torch.set_num_threads(1)
        self.vqgan = load_small_vqgan()
        self.net = SigningDecoder(self.vqgan.decoder)
        self.net.head.load_state_dict(load_file(head))
        self.net.eval()

    @torch.no_grad()
    def plain(self, codes: Codes) -> RGB:
        """Decode codes ``[books, h, w]``: uint8 ``[H, W, 3]``."""
        return _pixels(self.vqgan.decode(torch.from_numpy(codes)[None]))

    @torch.no_grad()
    def signed(self, codes: Codes, payload: Payload) -> RGB:
        """As :meth:`plain`, of codes of a square, signed."""
        latent = self.vqgan.look_up(torch.from_numpy(codes)[None])
        side = STRIDE * latent.shape[2]
        # Where its pixels lie in the copy that signatures are computed on.
        places = (np.arange(side) + 0.5) * CANONICAL_SIDE / side - 0.5
        pattern = torch.from_numpy(sampled(encode(payload), places, places))[None, None]
        return _pixels(self.net(latent, pattern))

    @torch.no_grad()
    def codes(self, pixels: RGB) -> Codes:
        """Encode uint8 ``[H, W, 3]``."""
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


def signed_every_way(codes: Codes, number: int, head: Path) -> dict[str, tuple[float, dict[str, bool]]]:
    """Sign one work in each of :data:`WAYS`: the PSNR to the plainly decoded one in dB, and by edit whether all 64 bits
    were read."""
    decoder, payload = _decoder(head), Payload(number, bytes(Generator(PCG64(number)).bytes(5)))
    plain = decoder.plain(codes)
    signers: tuple[Callable[[], RGB], ...] = (
        partial(decoder.signed, codes, payload),
        partial(sign, plain, payload),
        partial(sign_to_last, plain, payload),
    )
    found = {}
    for way, signer in zip(WAYS, signers, strict=True):
        try:
            signed = signer()
        except CannotBeSigned:
            found[way] = math.nan, dict.fromkeys(EDITS, False)
            continue
        # Signing has tried the draws of low seeds itself.
        edited = {name: edit(signed, Generator(PCG64(_SEED + number))) for name, edit in EDITS.items()}
        found[way] = psnr(plain, signed), {name: says(each, payload) for name, each in edited.items()}
    return found


def measure(head: Path) -> dict[str, Any]:
    """Sign paintings and photographs as codes, in every way.

    Args:
        head: ``signing-decoder.safetensors`` of :mod:`provenance.training.signing_decoder`.

    Returns:
        ``training``: the recipe and its curve; ``works``: how many of each group; ``rows``: by group and way the mean
        PSNR, and by edit the share read.
    """
    decoder = _decoder(head)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        codes = {"paintings": list(pool.map(painted, PROMPTS[: 2 if QUICK else None]))}
        for number, pixels in enumerate(_photographs()):
            side = SIDES[number % len(SIDES)]
            small = np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
            codes.setdefault(f"photographs of {side} pixels", []).append(decoder.codes(small))
        everything = [each for group in codes.values() for each in group]
        done = list(pool.map(partial(signed_every_way, head=head), everything, range(len(everything))))
    rows: dict[str, Any] = {}
    first = 0
    for group, members in codes.items():
        part, first = done[first : first + len(members)], first + len(members)
        rows[group] = {
            way: {
                "psnr_db": float(np.nanmean([each[way][0] for each in part])),
                "read": {name: [sum(each[way][1][name] for each in part), len(part)] for name in EDITS},
            }
            for way in WAYS
        }
    with safe_open(head, "np") as file:
        training = json.loads(file.metadata()["training"])
    return {"training": training, "works": {group: len(members) for group, members in codes.items()}, "rows": rows}


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
    training = results["training"]
    lines = [f"| works | signed | PSNR, dB | {' | '.join(EDITS)} |", "|---|---|---|" + "---|" * len(EDITS)]
    for group, ways in results["rows"].items():
        for way, row in ways.items():
            shares = " | ".join(Cell(*row["read"][name]).text for name in EDITS)
            lines.append(f"| {group}, {results['works'][group]} | {way} | {row['psnr_db']:.1f} | {shares} |")
    table, curve = "\n".join(lines), ", ".join(
        f"{each['error']:.3f} after {each['step']:,}" for each in training["curve"][3 :: len(training["curve"]) // 4]
    )
    return f"""
**The artworks' decoder with the 64 bits of the robust signature**: a head beside its last layer was trained for
{training['recipe']['steps']:,} steps of {training['recipe']['batch']}, the signature's detector as it is; the decoder
is not changed, so that the control, the work decoded plain, is the work itself. The detector's error by steps: {curve}.
All 64 bits right, per cent; PSNR to the work decoded plain; whoever has the weights can leave the head away:

{table}"""
