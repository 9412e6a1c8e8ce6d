"""How long `make up` takes: on a machine that has nothing yet, and the second time. Run by ``make bench-up``.

Cold is a fresh clone of this checkout's last commit: virtual environment, installation, database, sample catalogue,
smoke check. Packages come from the machine's own cache or registry, so that its speed is in the figure. With
``QUICK=1`` the installation is left out, and ``cold_s`` is null.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.results import QUICK, publish
from benchmarks.stack import ROOT, free_port, site


def cold(folder: Path) -> tuple[float, float]:
    """Clone, run `make up` to the address it prints, stop it, and run it again; return both times in seconds."""
    checkout = folder / "provenance"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    return _make_up(checkout), _make_up(checkout)


def _make_up(checkout: Path) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(
        ["make", "--silent", "up"],
        cwd=checkout,
        env={**os.environ, "SITE_PORT": str(free_port())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Open http" in line:
            taken = time.perf_counter() - began
            # As Ctrl-C in a terminal: to the whole group.
            os.killpg(process.pid, signal.SIGINT)
            process.stdout.read()
            process.wait(120)
            return taken
    raise RuntimeError("make up ended before it served:\n" + "".join(lines))


def warm(home: Path) -> float:
    """Start the site in a data folder, in the present environment; return the seconds to its address."""
    began = time.perf_counter()
    with site(home):
        return time.perf_counter() - began


def main() -> None:
    """Run the benchmark; see the module's text."""
    with tempfile.TemporaryDirectory(prefix="provenance-bench-") as name:
        folder = Path(name)
        # The database's user must be able to enter.
        folder.chmod(0o755)
        first, second = (None, None) if QUICK else cold(folder)
        home = folder / "home"
        home.mkdir(mode=0o755)
        new_data, kept_data = warm(home), warm(home)
    figures = {
        "cold_s": first and round(first, 1),
        "second_make_up_s": second and round(second, 1),
        "new_data_s": round(new_data, 1),
        "kept_data_s": round(kept_data, 1),
    }
    text = f"""
| start | seconds to the printed address |
|---|---|
| fresh clone, nothing installed | {figures["cold_s"]} |
| the same again | {figures["second_make_up_s"]} |
| installed, new data folder (36 sample pictures are registered) | {figures["new_data_s"]} |
| installed, data kept | {figures["kept_data_s"]} |

Each includes the smoke check: an edited sample picture is uploaded, found and verified by the worker.
"""
    publish("up", title="Starting the whole site", markdown=text, figures=figures, details={})


if __name__ == "__main__":
    main()
