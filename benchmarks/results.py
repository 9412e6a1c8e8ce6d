"""Where figures go: one section of RESULTS.md and one JSON file a benchmark, and the last line that a script reads."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
QUICK = os.environ.get("QUICK") == "1"


def machine() -> str:
    """Say what the figures were measured on: processor, cores, system, Python."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    python = f"Python {platform.python_version()}"
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, {python}"


def publish(name: str, *, title: str, markdown: str, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Print the key figures as the last line, after :func:`store`, which has the same arguments."""
    store(name, title=title, markdown=markdown, figures=figures, details=details)
    print(json.dumps(figures), flush=True)


def store(name: str, *, title: str, markdown: str, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Write a full run's section and ``results/<name>.json``; a quick run writes nothing.

    Args:
        name: of the benchmark, as in ``make bench-NAME``.
        markdown: the section's text and tables.
        figures: the key figures, printed as one JSON object.
        details: what the site's accuracy page shows, stored beside the figures.
    """
    if not QUICK:
        section = (
            f"<!-- {name} -->\n## {title}\n\n`make bench-{name}` on {machine()}\n\n{markdown.strip()}\n\n"
            f"Key figures: `{json.dumps(figures)}`\n<!-- /{name} -->\n"
        )
        path = FOLDER / "RESULTS.md"
        text = path.read_text() if path.exists() else "# Results\n\nEvery figure with the command that made it.\n"
        pattern = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->\n", re.DOTALL)
        path.write_text(pattern.sub(lambda _found: section, text) if pattern.search(text) else f"{text}\n{section}")
        stored = {"machine": machine(), "figures": figures, **details}
        (FOLDER / "results").mkdir(exist_ok=True)
        (FOLDER / "results" / f"{name}.json").write_text(json.dumps(stored, indent=1) + "\n")
