"""Artworks: is the key space real, is a second making identical everywhere, how far off is a wrong key, how fast is it.

Nothing but the models' figures needs pictures; those come from the folder that ``PROVENANCE_DATA`` names, and are null
where it is absent. Run by ``make bench-artwork``; ``QUICK=1`` takes fewer of everything. The table of identity alone is
measured anew by ``python -m benchmarks.artwork --identity``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shlex
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from benchmarks.plain_loop import PlainLoop
from benchmarks.results import FOLDER, QUICK, publish
from provenance.artwork import paper_v1, tiers
from provenance.artwork.generator import generate
from provenance.artwork.latent import first_codes, run_key
from provenance.artwork.proof import likeness
from provenance.artwork.recipe import PRESETS, Mode, Preset, Recipe, Scheme, make_recipe
from provenance.artwork.signature import Signature, read_signature
from provenance.images.quality import legacy_psnr_uint8, psnr, ssim
from provenance.training.pictures import DataMissing

PROMPT = "A mountainous landscape at sunset"
SALT = bytes(16)
SIGNATURES = 20_000 if QUICK else 1_000_000
PAPER_KEYS = 4000
WRONG_KEYS = 4 if QUICK else 200
SMALL = Preset(64, 6, 4) if QUICK else Preset(128, 20, 8)
PUBLISHED_PSNR = {"again": "100", "another key": "27.95", "one pixel of the key changed": "28.02"}
# What a machine may force upon its kernels: threads, vector instructions, libraries' modes, no oneDNN at all.
PROFILES: tuple[dict[str, str], ...] = (
    {"THREADS": "1"},
    {"THREADS": "3", "ATEN_CPU_CAPABILITY": "default"},
    {"THREADS": "2", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    {"THREADS": "2", "ONEDNN": "0"},
    {"THREADS": "2"},
    {"THREADS": "8"},
    {"THREADS": "16"},
    {"THREADS": "1", "ATEN_CPU_CAPABILITY": "avx2"},
    {"THREADS": "2", "ONEDNN_MAX_CPU_ISA": "AVX"},
    {"THREADS": "2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    {"THREADS": "2", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    {"THREADS": "1", "MKL_CBWR": "COMPATIBLE"},
    {"THREADS": "2", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F"},
    {"THREADS": "1", "ONEDNN": "0", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
)
# The command of another architecture's Python: see aarch64.sh.
AARCH64 = os.environ.get("AARCH64_PYTHON")
USED_PROFILES = PROFILES[:4] if QUICK else PROFILES + (({"machine": "aarch64", "THREADS": "1"},) if AARCH64 else ())
PROFILE_RECIPES = (
    (("a red sunset over the sea", Preset(64, 3, 4)),)
    if QUICK
    else (
        ("a red sunset over the sea", Preset(128, 12, 8)),
        ("two dogs run in the snow", Preset(96, 20, 16)),
        ("green", Preset(192, 5, 32)),
    )
)


PROMPTS = (
    "a red sunset over the sea", "a green forest with tall trees", "two dogs run in the snow",
    "a brown horse in a meadow", "a city street at night", "blue", "a yellow flower", "a man climbs a rock wall",
    "a child in a pink dress", "a mountain with snow, blue sky", "a white airplane in the sky", "a black cat",
    "a crowd at a concert", "an orange butterfly", "a boat on a lake", "a football player on grass",
    "a desert of golden sand", "a bicycle by a brick wall", "purple and turquoise", "a surfer on a big wave",
)  # fmt: skip
PROMPTS_PRESET = Preset(128, 80, 32)
_IDENTITY_HEAD = "| profile | recipes | canonical equal | fast (stock kernels) equal |"


def distinct_latents(count: int) -> int:
    """Return how many different first latents ``count`` signature files (the numbers from 0) give at 128 x 128."""
    kind = tiers.ShippedModels
    places = 128 // kind.stride
    seen = set()
    for number in range(count):
        key = read_signature(BytesIO(number.to_bytes(8, "big"))).key
        run = run_key(key=key, prompt=PROMPT, recipe_digest="00" * 32)
        codes = first_codes(run, books=kind.books, codes=kind.codes, height=places, width=places)
        seen.add(hashlib.sha256(codes.tobytes()).digest()[:12])
    return len(seen)


def distinct_paper_grids(count: int) -> int:
    """Return how many different Z the paper's scheme gives for random 256 x 256 keys."""
    grids = set()
    for number in range(count):
        identity = hashlib.blake2s(number.to_bytes(8, "big"), digest_size=16).hexdigest()
        grids.add(paper_v1.grey_grid(paper_v1.signature_image(identity, 256, 256)).tobytes())
    return len(grids)


def key_picture(seed: int, changed: bool = False) -> npt.NDArray[np.uint8]:
    """Return a key picture of smooth colours and noise, uint8 RGB ``[192, 192, 3]``; one bit of one sample changed."""
    random = np.random.Generator(np.random.Philox(key=seed))
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)).resize((192, 192), Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse, np.int16) + random.integers(-12, 13, (192, 192, 3))
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    if changed:
        row, column = random.integers(0, 192, 2)
        pixels[row, column, 0] ^= 1
    return np.asarray(pixels, np.uint8)


def signature_of(pixels: npt.NDArray[np.uint8]) -> Signature:
    """Return the signature of a picture saved as PNG."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    buffer.seek(0)
    return read_signature(buffer)


def recipe_for(signature: Signature, preset: Preset, *, mode: Mode = Mode.CANONICAL, prompt: str = PROMPT) -> Recipe:
    """Return a recipe that only its arguments decide."""
    return make_recipe(prompt=prompt, signature=signature, preset=preset, mode=mode, salt=SALT)


def wrong_keys(count: int) -> dict[str, Any]:
    """Make a work, make it again, then with other keys and with keys of which one bit is changed."""
    signature = signature_of(key_picture(0))
    recipe = recipe_for(signature, SMALL)
    true = generate(recipe, PROMPT, signature.key)
    again = generate(recipe, PROMPT, signature.key)
    rows: dict[str, list[tuple[float, float]]] = {"another key": [], "one bit of a pixel changed": []}
    for number in range(1, count + 1):
        for kind, pixels in (
            ("another key", key_picture(number)),
            ("one bit of a pixel changed", _one_bit_changed(number)),
        ):
            made = generate(recipe, PROMPT, signature_of(pixels).key)
            rows[kind].append((psnr(made.pixels, true.pixels), ssim(made.pixels, true.pixels)))
    return {"same": again.pixel_sha256 == true.pixel_sha256, "rows": rows}


def _one_bit_changed(number: int) -> npt.NDArray[np.uint8]:
    random = np.random.Generator(np.random.Philox(key=number))
    pixels = key_picture(0)
    row, column, channel = random.integers(0, (192, 192, 3))
    pixels[row, column, channel] ^= 1 << int(random.integers(0, 8))
    return np.asarray(pixels, np.uint8)


def run_profiles() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Make every recipe under every profile, in processes of their own, two at once: canonical, and fast to compare."""
    modes = (Mode.CANONICAL,) if QUICK else (Mode.CANONICAL, Mode.FAST)
    # An emulated machine takes a minute for the first recipe, and its drafts say nothing.
    jobs = [
        (profile, mode) for mode in modes for profile in USED_PROFILES if mode is Mode.CANONICAL or _is_here(profile)
    ]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(_in_profile, jobs))
    return found[: len(USED_PROFILES)], found[len(USED_PROFILES) :]


def _is_here(profile: dict[str, str]) -> bool:
    return "machine" not in profile


def _equal(answer: dict[str, str], first: dict[str, str]) -> bool:
    """Whether what a profile made is what the first made."""
    return bool(answer) and all(first[prompt] == digests for prompt, digests in answer.items())


def _in_profile(job: tuple[dict[str, str], Mode]) -> dict[str, str]:
    profile, mode = job
    python, recipes = ([sys.executable], len(PROFILE_RECIPES)) if _is_here(profile) else (shlex.split(str(AARCH64)), 1)
    command = [*python, "-m", "benchmarks.artwork", "--profile", mode, str(recipes)]
    # More threads than cores wait for each other; they need not do it busily.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **profile}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answer


def profile_digests(mode: Mode, recipes: int) -> dict[str, str]:
    """Return ``pixels latent`` digests of the first recipes, made as the environment says."""
    torch.set_num_threads(int(os.environ["THREADS"]))
    torch.backends.mkldnn.set_flags(os.environ.get("ONEDNN") != "0")
    signature = Signature(bytes(32), None)
    answer = {}
    for prompt, preset in PROFILE_RECIPES[:recipes]:
        made = generate(recipe_for(signature, preset, mode=mode, prompt=prompt), prompt, signature.key)
        answer[prompt] = f"{made.pixel_sha256} {made.latent_sha256}"
    return answer


def speeds() -> dict[str, dict[str, float]]:
    """Return median seconds an iteration of the plain loop, canonical and fast, side by side, for each preset."""
    found = {}
    for name, preset in PRESETS.items():
        if QUICK and name != "standard":
            continue
        # Thirty-two crops everywhere, as published.
        preset = replace(preset, iterations=4 if QUICK else 12, crops=32)
        signature = signature_of(key_picture(0))
        plain = PlainLoop(recipe_for(signature, preset), PROMPT)
        plain.step()
        taken: dict[str, list[float]] = {"plain": [], "canonical": [], "fast": []}
        for _ in range(preset.iterations):
            began = time.perf_counter()
            plain.step()
            taken["plain"].append(time.perf_counter() - began)
        for mode in Mode:
            marks: list[float] = []
            generate(
                recipe_for(signature, preset, mode=mode),
                PROMPT,
                signature.key,
                on_iteration=lambda _iteration, marks=marks: marks.append(time.perf_counter()),  # type: ignore[misc]
            )
            taken[str(mode)] = list(np.diff(marks))
        found[name] = {kind: statistics.median(values) for kind, values in taken.items()}
    return found


def tables() -> str:
    """Make tables I and II of the paper anew: true figures, and beside them what its overflowing PSNR gives."""
    key, altered, other = key_picture(0), key_picture(0, changed=True), key_picture(99)
    lines = [
        "| scheme | compared with the first image | SSIM | PSNR dB | overflowing PSNR | paper |",
        "|---|---|---|---|---|---|",
    ]
    preset = PRESETS["standard"]
    for scheme in (Scheme.XOF, Scheme.PAPER):
        recipe = make_recipe(prompt=PROMPT, signature=signature_of(key), preset=preset, scheme=scheme, salt=SALT)
        first = generate(recipe, PROMPT, recipe.key_of(signature_of(key))).pixels
        for name, pixels in (("again", key), ("another key", other), ("one pixel of the key changed", altered)):
            made = generate(recipe, PROMPT, recipe.key_of(signature_of(pixels))).pixels
            alike = likeness(first, made)
            true = "identical" if alike.psnr_db is None else f"{alike.psnr_db:.2f}"
            overflow = legacy_psnr_uint8(first, made)
            lines.append(f"| {scheme} | {name} | {alike.ssim:.2f} | {true} | {overflow:.2f} | {PUBLISHED_PSNR[name]} |")
    lines += ["", "| pair | SSIM | PSNR dB | overflowing PSNR | paper |", "|---|---|---|---|---|"]
    one, two = (
        paper_v1.signature_image(paper_v1.digest(np.ascontiguousarray(pixels[..., ::-1])), 192, 192)
        for pixels in (key, altered)
    )
    pairs = (
        ("key picture and altered key picture", key, altered, "73.85"),
        ("the paper's signature images of the two", one, two, "27.75"),
    )
    for name, before, after, published in pairs:
        figures = (ssim(before, after), psnr(before, after), legacy_psnr_uint8(before, after))
        lines.append(f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures)} | {published} |")
    return "\n".join(lines)


def paint_prompts() -> float:
    """Paint the varied prompts into one sheet, results/artwork_prompts.jpg; return the seconds a picture took."""
    side, captions = PROMPTS_PRESET.side, 16
    sheet = Image.new("RGB", (5 * side, (side + captions) * (len(PROMPTS) // 5)), "white")
    draw = ImageDraw.Draw(sheet)
    signature = Signature(bytes(32), None)
    seconds = []
    for number, prompt in enumerate(PROMPTS):
        made = generate(recipe_for(signature, PROMPTS_PRESET, prompt=prompt), prompt, signature.key)
        place = (number % 5 * side, number // 5 * (side + captions))
        draw.text((place[0] + 2, place[1] + 1), prompt, fill="black")
        sheet.paste(Image.fromarray(made.pixels), (place[0], place[1] + captions))
        seconds.append(made.seconds)
    sheet.save(FOLDER / "results" / "artwork_prompts.jpg", quality=90)
    return statistics.median(seconds)


def model_figures() -> dict[str, float]:
    """Return the shipped models' figures on held-out photographs; empty where the pictures are absent."""
    from provenance.training.artwork_figures import reconstruction, retrieval
    from provenance.training.artwork_pictures import held_out_photographs

    try:
        pictures = held_out_photographs()
    except DataMissing as missing:
        print(missing, file=sys.stderr)
        return {}
    image, text = tiers.load_text_image()
    found = reconstruction(tiers.load_small_vqgan(), image, pictures, 25 if QUICK else 500)
    return {**found, **retrieval(image, text, pictures)}


def main() -> None:
    """Run the benchmark; see the module's text."""
    if sys.argv[1:2] == ["--profile"]:
        print(json.dumps(profile_digests(Mode(sys.argv[2]), int(sys.argv[3]))))
        return
    if sys.argv[1:] == ["--identity"]:
        _renew_identity()
        return
    models = model_figures()
    speed = speeds()
    canonical, fast = run_profiles()
    wrong = wrong_keys(WRONG_KEYS)
    table = "" if QUICK else tables()
    painted = None if QUICK else paint_prompts()
    equal = sum(_equal(answer, canonical[0]) for answer in canonical)
    worst = max(value for rows in wrong["rows"].values() for value, _ in rows)
    figures = {
        "signatures": SIGNATURES,
        "distinct_z": distinct_latents(SIGNATURES),
        "paper_v1_distinct_z_of_4000": distinct_paper_grids(PAPER_KEYS),
        "profiles": len(canonical),
        "profiles_equal": equal,
        "wrong_keys": 2 * WRONG_KEYS,
        "wrong_key_max_psnr_db": round(worst, 2),
        "same_key_identical": wrong["same"],
        "seconds_per_iteration_fast": round(speed["standard"]["fast"], 3),
        "seconds_per_iteration_canonical": round(speed["standard"]["canonical"], 3),
        "seconds_per_iteration_plain": round(speed["standard"]["plain"], 3),
        "retrieval_r10_of_1000": models.get("image_r10"),
        "vqgan_psnr_db": models.get("psnr_db"),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    markdown = _markdown(models, speed, canonical, fast, wrong, table, figures, peak, painted)
    publish(
        "artwork",
        title="Artworks: keys, identity, speed",
        markdown=markdown,
        figures=figures,
        details={"models": models, "seconds_per_iteration": speed, "peak_megabytes": peak},
    )


def _identity_table(canonical: list[dict[str, str]], fast: list[dict[str, str]]) -> str:
    drafts = {id(profile): draft for profile, draft in zip(filter(_is_here, USED_PROFILES), fast, strict=False)}
    rows = "\n".join(
        f"| {' '.join(f'{key}={value}' for key, value in profile.items())} | {len(answer)} |"
        f" {'yes' if _equal(answer, canonical[0]) else 'NO'} |"
        f" {('yes' if _equal(drafts[id(profile)], fast[0]) else 'no') if id(profile) in drafts else '-'} |"
        for profile, answer in zip(USED_PROFILES, canonical, strict=True)
    )
    return f"{_IDENTITY_HEAD}\n|---|---|---|---|\n{rows}"


def _renew_identity() -> None:
    """Measure identity anew, and put it in place in what the last full run published."""
    canonical, fast = run_profiles()
    report, stored = FOLDER / "RESULTS.md", FOLDER / "results" / "artwork.json"
    found = json.loads(stored.read_text())
    before = json.dumps(found["figures"])
    found["figures"] |= {
        "profiles": len(canonical),
        "profiles_equal": sum(_equal(answer, canonical[0]) for answer in canonical),
    }
    table = re.compile(re.escape(_IDENTITY_HEAD) + r"\n(?:\|.*\n)+")
    text = table.sub(lambda _old: _identity_table(canonical, fast) + "\n", report.read_text())
    report.write_text(text.replace(before, json.dumps(found["figures"])))
    stored.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["figures"]))


def _markdown(
    models: dict[str, float],
    speed: dict[str, dict[str, float]],
    canonical: list[dict[str, str]],
    fast: list[dict[str, str]],
    wrong: dict[str, Any],
    table: str,
    figures: dict[str, Any],
    peak: int,
    painted: float | None,
) -> str:
    speed_rows = "\n".join(
        f"| {name} ({PRESETS[name].side} px) | {row['plain']:.3f} | {row['canonical']:.3f} | {row['fast']:.3f} |"
        f" {row['plain'] / row['canonical']:.2f} | {row['plain'] / row['fast']:.2f} |"
        f" {row['canonical'] * PRESETS[name].iterations * PRESETS[name].crops / 32:.0f} |"
        for name, row in speed.items()
    )
    key_rows = []
    for kind, rows in wrong["rows"].items():
        ratios, alike = np.array(rows).T
        key_rows.append(
            f"| {kind} | {len(rows)} | {ratios.min():.2f} | {np.median(ratios):.2f} | {ratios.max():.2f} |"
            f" {np.median(alike):.3f} | {alike.max():.3f} |"
        )
    return f"""
**Keys.** {figures["signatures"]:,} signature files gave {figures["distinct_z"]:,} different first latents. The paper's
scheme gave {figures["paper_v1_distinct_z_of_4000"]} for {PAPER_KEYS:,} keys of 256 x 256.

**Identity.** {len(PROFILE_RECIPES)} recipes in processes of their own, two at once, under what a machine may force upon
its kernels: digests of pixels and of the last latent, compared with the first row's.

{_identity_table(canonical, fast)}

**Wrong keys** against the true work ({SMALL.side} px, {SMALL.iterations} iterations); the right key came out
{"identical" if wrong["same"] else "DIFFERENT"}.

| key | works | least PSNR dB | median | most | median SSIM | most |
|---|---|---|---|---|---|---|
{chr(10).join(key_rows)}

**Seconds an iteration**, 32 crops, {torch.get_num_threads()} threads, medians; plain is the published notebooks' loop
on the same weights. Fast looks at a quarter of the crops. Peak memory of this whole program {peak:,} MB.

| preset | plain | canonical | fast | plain / canonical | plain / fast | canonical seconds a work |
|---|---|---|---|---|---|---|
{speed_rows}

**Tables I and II of the paper**, with the shipped models.

{table}

**Twenty prompts** with one signature file, canonical, {PROMPTS_PRESET.side} px, {PROMPTS_PRESET.iterations} iterations,
{PROMPTS_PRESET.crops} crops, a median of {painted or 0:.0f} s each on these
cores:

![Twenty prompts](results/artwork_prompts.jpg)

**Shipped models** on held-out photographs: {json.dumps(models)}
"""


if __name__ == "__main__":
    main()
