"""How fast the site answers and imports, and how many copies it finds. Run by ``make bench-site``.

It starts a whole site in a throw-away folder, imports photographs of the folder that ``PROVENANCE_DATA`` names,
checks edited copies of them over the REST API as a partner would, and measures recall with the same methods.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import time
import zipfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from benchmarks.recall import PRESETS, RecallTable, photographs, recall_table
from benchmarks.results import QUICK, publish
from benchmarks.stack import ROOT, Site, site
from provenance.images.decode import decode, encode_jpeg
from provenance.images.edits import apply
from provenance.matching.verify import VERSION, pair_model
from provenance.training.pictures import DataMissing

IMPORT_PICTURES = 100 if QUICK else 1000
CHECKS = 12 if QUICK else 100
CLIENTS = 2
# Of what is checked, one in five is a stranger to the registry.
EDITS = ("screenshot", "social", "grayscale", "meme_text")
RECALL_REGISTRY, RECALL_PICTURES = (200, 2) if QUICK else (1500, 20)

PREPARE = """
from datetime import timedelta
from django.utils import timezone
from webapp.accounts.models import Organisation, Scope
from webapp.accounts.services import api_key_create
from webapp.catalogues.models import Catalogue
organisation = Organisation.objects.get(name="Demo Archive")
owner = organisation.members.first()
catalogue = Catalogue.objects.create(organisation=organisation, name="Benchmark")
_key, secret = api_key_create(organisation=organisation, name="benchmark", scopes=Scope.values,
    expires_at=timezone.now() + timedelta(days=1), created_by=owner)
print(catalogue.pk, secret)
"""
TIMINGS = f"""
import json
from webapp.jobs.models import Job
jobs = Job.objects.filter(kind="check").order_by("-created_at")
print(json.dumps(list(jobs.values_list("timings", flat=True)[:{CHECKS}])))
"""


class Partner:
    """A client of the REST API that polls as its answers advise, but quickly."""

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=120)

    def check(self, picture: bytes) -> dict[str, Any]:
        """Upload a picture and return the finished check, with ``wall_s`` from the first byte sent to the verdict."""
        started = time.perf_counter()
        answer = self._client.post("/checks", files={"file": ("picture.jpg", picture, "image/jpeg")})
        answer.raise_for_status()
        found = self._wait(f"/checks/{answer.json()['id']}", 0.02)
        found["wall_s"] = time.perf_counter() - started
        return found

    def import_archive(self, catalogue: str, archive: bytes) -> dict[str, Any]:
        """Upload an archive into a catalogue and return the finished import, with ``wall_s``."""
        started = time.perf_counter()
        answer = self._client.post(
            f"/catalogues/{catalogue}/items", files={"file": ("pictures.zip", archive, "application/zip")}
        )
        answer.raise_for_status()
        found = self._wait(f"/imports/{answer.json()['id']}", 0.1)
        found["wall_s"] = time.perf_counter() - started
        return found

    def _wait(self, path: str, pause: float) -> dict[str, Any]:
        while True:
            answer = self._client.get(path)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            if found["state"] in ("succeeded", "failed", "cancelled"):
                return found
            time.sleep(pause)


def zip_of(pictures: dict[str, bytes]) -> bytes:
    """Return a ZIP archive of the pictures, stored as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def shell(running: Site, program: str) -> str:
    """Run a program in the site's own Python; return the last line that it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", program],
        cwd=ROOT,
        env={**os.environ, "PROVENANCE_HOME": str(running.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


def time_checks(running: Site, partner: Partner, registered: list[bytes], strangers: list[bytes]) -> dict[str, Any]:
    """Check edited copies one after another, then as many with several clients at once."""
    uploads = []
    for number in range(CHECKS):
        known = number % 5 != 4
        data = registered[number % len(registered)] if known else strangers[number % len(strangers)]
        edit = EDITS[number % len(EDITS)]
        uploads.append((known, encode_jpeg(apply(edit, decode(data).pixels, number), quality=90)))
    partner.check(uploads[0][1])
    found = [(known, partner.check(data)) for known, data in uploads]
    steps: dict[str, list[float]] = defaultdict(list)
    for timings in json.loads(shell(running, TIMINGS)):
        for step, seconds in timings.items():
            steps[step].append(seconds)
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda upload: partner.check(upload[1]), uploads))
    rate = len(uploads) / (time.perf_counter() - started)
    walls = [check["wall_s"] for _known, check in found]
    right = sum((check["verdict"]["code"] in ("registered", "probably_registered")) == known for known, check in found)
    return {
        "p50": statistics.median(walls),
        "p95": float(np.percentile(walls, 95)),
        "rate": rate,
        "right": right,
        "steps": {step: statistics.median(values) for step, values in steps.items()},
    }


def section(imported: float, checks: dict[str, Any], table: RecallTable) -> str:
    """Return the section of RESULTS.md."""
    spent = sum(checks["steps"].values())
    model = pair_model()
    _rate, bound = model.false_verification_rate()
    steps = "".join(f"| {name} | {1000 * seconds:.0f} |\n" for name, seconds in checks["steps"].items())
    return f"""
**Upload to verdict** over the REST API, {CHECKS} checks (four of five are edited copies of registered pictures)
in a registry of about {IMPORT_PICTURES} works, warm, one after another: p50 {checks["p50"]:.2f} s,
p95 {checks["p95"]:.2f} s; {checks["right"]} of {CHECKS} verdicts were right about being registered. With {CLIENTS}
clients at once: {checks["rate"]:.1f} checks a second. Median time in each step of the worker:

| step | ms |
|---|---|
{steps}| outside the worker (upload, queue, poll) | {1000 * (checks["p50"] - spent):.0f} |

**Import** of {IMPORT_PICTURES} photographs as one ZIP: {imported:.1f} pictures a second from the first byte sent to
the last row's result.

**Recall at 99.99 % precision**, per cent with 95 % Wilson intervals: {table.queries} edited copies
({table.queries // len(PRESETS)} photographs under {len(PRESETS)} presets, the row `all` pools them) among
{table.registry} registered photographs that no threshold was chosen on. Thresholds at that precision:
{json.dumps(table.thresholds)}. Pairs that verification took for copies and that are none: {len(table.false_verified)}.
On hard pairs of different pictures, chosen to look alike, it was wrong in {model.false_verifications} of
{model.hard_pairs:,}
(at most {bound:.1e} with 95 % confidence; `python -m provenance.training.verification_rates judge WORK`).

{table.to_markdown()}
"""


def main() -> None:
    """Run the benchmark; see the module's text."""
    try:
        everything = photographs(RECALL_REGISTRY)
    except DataMissing as missing:
        sys.exit(str(missing))
    registered, strangers = everything[:IMPORT_PICTURES], everything[IMPORT_PICTURES : IMPORT_PICTURES + CHECKS]
    # Polling as often as is needed to time an answer passes what a partner's key may do.
    with site(REQUESTS_PER_MINUTE_KEY="1000000", CHECKS_PER_HOUR_KEY="100000") as running:
        catalogue, key = shell(running, PREPARE).split()
        partner = Partner(running.url, key)
        done = partner.import_archive(catalogue, zip_of({f"{i}.jpg": data for i, (_n, data) in enumerate(registered)}))
        imported = IMPORT_PICTURES / done["wall_s"]
        checks = time_checks(running, partner, [d for _n, d in registered], [d for _n, d in strangers])
    table = recall_table(everything, RECALL_PICTURES)
    publish(
        "site",
        title="The site: checks, imports, recall",
        markdown=section(imported, checks, table),
        figures={
            "upload_to_verdict_p95_s": round(checks["p95"], 3),
            "checks_per_s": round(checks["rate"], 2),
            "import_pictures_per_s": round(imported, 1),
            "pdq_recall_at_9999_all": round(table.rows["all"]["pdq alone"].share, 4),
            "verified_recall_at_9999_all": round(table.rows["all"]["verified"].share, 4),
        },
        details={
            "verification": VERSION,
            "recall": table.for_page(),
            "steps": checks["steps"],
            "upload_to_verdict_p50_s": checks["p50"],
        },
    )


if __name__ == "__main__":
    main()
