"""A key made on the pages lets the command line ask the same site; once revoked it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.pictures import edited, unknown
from tests.e2e.site import Site


def _ask(file: Path, site: Site, key: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from provenance.cli import app; app()", "check", str(file), "--json"]
    return subprocess.run(
        [*command, "--url", site.url, "--key", key], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_key_opens_the_site_to_the_command_line(owner_page: Page, site: Site, tmp_path: Path) -> None:
    owner_page.goto("/dashboard/")
    owner_page.get_by_role("link", name="API keys").first.click()
    owner_page.get_by_label("Name").fill("newsroom")
    for box in owner_page.get_by_role("checkbox").all():
        box.check()
    owner_page.get_by_role("button", name="Make a key").click()
    key = owner_page.locator("pre").inner_text().strip()
    address = f"{owner_page.url.partition('/keys/')[0]}/keys/"

    copy = tmp_path / "copy.png"
    copy.write_bytes(edited("calla"))
    found = _ask(copy, site, key)
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    assert answer["verdict"]["label"] == "Registered"
    owner_page.goto(answer["links"]["page"])
    expect(owner_page.get_by_role("heading", level=1)).to_have_text("Registered")

    mine = tmp_path / "mine.png"
    mine.write_bytes(unknown())
    other = _ask(mine, site, key)
    assert other.returncode == 1
    assert json.loads(other.stdout)["verdict"]["label"] == "Not found here"

    owner_page.goto(address)
    expect(owner_page.get_by_text(key)).to_have_count(0)
    owner_page.get_by_role("row").filter(has_text="newsroom").get_by_role("button", name="Revoke").click()
    expect(owner_page.get_by_role("row").filter(has_text="newsroom")).to_contain_text("revoked")
    refused = _ask(copy, site, key)
    assert refused.returncode == 2
    assert "key" in refused.stderr
    assert refused.stdout == ""
