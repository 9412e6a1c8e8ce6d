"""Which pictures anything was trained, tuned or tested on: every one with its SHA-256 and its part.

    python -m benchmarks.parts

Writes ``results/pictures.json``: for each archive and part the digests of the pictures' files, ascending. What a
picture may be used for goes by the SHA-256 of its name in the archive (``provenance.training.pictures``), so that
whoever has the archives gets the same lists. A file that is there under two names, in two parts, would be trained and
tested on: such files are named.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict

from benchmarks.results import FOLDER
from provenance.training.detector_pictures import DRAWINGS, present, samples
from provenance.training.pictures import Part, encoded_pictures, part_of

# What the detector of AI pictures alone is trained and tested with.
DETECTOR_ONLY = ("imagenet_sample", *DRAWINGS)
ARCHIVES = ("flickr8k.tar", "caltech101.tar", "ai_gpt4o.tar", "ai_sd15.tar")


def main() -> None:
    """Write the list and print how many there are."""
    lists: dict[str, dict[str, list[str]]] = {}
    parts_of: dict[str, set[Part]] = defaultdict(set)
    for archive in ARCHIVES:
        found: dict[str, list[str]] = {part.value: [] for part in Part}
        for held_out in (False, True):
            for name, data in encoded_pictures(archive, held_out=held_out):
                part, digest = part_of(name), hashlib.sha256(data).hexdigest()
                found[part.value].append(digest)
                parts_of[digest].add(part)
        lists[archive] = {part: sorted(digests) for part, digests in found.items()}
        print(archive, {part: len(digests) for part, digests in found.items()})
    for source in DETECTOR_ONLY:
        if present(source):
            lists[source] = {part.value: [] for part in Part}
            for sample in samples(source, dict.fromkeys(Part, sys.maxsize)):
                lists[source][sample.part].append(sample.sha256)
                parts_of[sample.sha256].add(sample.part)
            lists[source] = {part: sorted(set(digests)) for part, digests in lists[source].items()}
            print(source, {part: len(digests) for part, digests in lists[source].items()})
    shared = sorted(digest for digest, parts in parts_of.items() if len(parts) > 1)
    print(f"{len(shared)} files are in two parts")
    stored = {"archives": lists, "in_two_parts": shared}
    (FOLDER / "results" / "pictures.json").write_text(json.dumps(stored, indent=0) + "\n")


if __name__ == "__main__":
    main()
