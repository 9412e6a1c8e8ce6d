"""What a process of the site loads before anybody needs it."""

from __future__ import annotations

import subprocess
import sys


def test_torch_is_loaded_by_whoever_needs_it_only() -> None:
    """It takes longer than all the rest, and the web server, migrations and the launcher's other steps do without."""
    code = "import sys, django; django.setup(); import webapp.asgi; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
