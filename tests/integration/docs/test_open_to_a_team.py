"""The page "Open a service to a team", block by block: one address with HTTPS, keys, HTTP events, edits, audit."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from stepwell_deploy.ports import claim_port
from support.paths import ROOT

pytestmark = pytest.mark.timeout(400)

PAGE = (ROOT / "docs" / "open-to-a-team.md").read_text("utf-8")
ADDRESS = "stepwell.example:8420"
_SECONDS = 200.0


def blocks(language: str) -> list[str]:
    """Return the page's blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


class Shell:
    """A user's shell on a machine that reaches one address: it keeps its variables from one block to the next."""

    def __init__(self, folder: Path, address: str, start: str) -> None:
        self._folder, self._address = folder, address
        self._known = start

    def run(self, block: str) -> str:
        """Run a block, which must succeed, and return its output."""
        block = block.replace(ADDRESS, self._address)
        done = subprocess.run(
            ["bash", "-ec", f"{self._known}\n{block}"],
            cwd=self._folder, env=user(self._folder), capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        exports = [line for line in block.splitlines() if line.startswith(("export", "unset"))]
        self._known = "\n".join([self._known, *exports])
        return done.stdout


def user(folder: Path) -> dict[str, str]:
    """Return the environment of a user without settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")}
    return {
        **clean,
        "PATH": f"{Path(sys.executable).parent}:{clean['PATH']}",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "COLUMNS": "200",
    }


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell next to a running `stepwell up`, which the page's first block starts."""
    folder = tmp_path_factory.mktemp("team")
    # What is fetched once: to resolve and copy the broker's jars takes longer than all else does.
    for fetched in (".m2", ".cache"):
        if (Path.home() / fetched).is_dir():
            (folder / fetched).symlink_to(Path.home() / fetched)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf = authority.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(folder / "service.key")
    (folder / "service.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    address = f"localhost:{claim_port('127.0.0.1', 0, '')}"
    key = "export STEPWELL_ADMIN_KEY=" + "0123456789abcdef" * 4
    block = blocks("sh")[0].replace(ADDRESS, address).replace("--port 8420", f"--port {address.rpartition(':')[2]}")
    block = re.sub(r"export STEPWELL_ADMIN_KEY=.*", key, block)
    block = block.replace("stepwell up", f"exec stepwell up --dir {folder / 'server'}")
    with subprocess.Popen(
        ["bash", "-ec", block], cwd=folder, env=user(folder), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as up:
        assert up.stdout is not None
        assert up.stderr is not None
        line = up.stdout.readline()
        try:
            assert line.startswith("ready https://"), line + up.stderr.read()
            yield Shell(folder, address, key)
        finally:
            up.send_signal(signal.SIGINT)
            up.communicate(timeout=_SECONDS)
    assert up.returncode == 0


def test_the_page_works_block_by_block(shell: Shell) -> None:
    _, create, log, read, change, audit = blocks("sh")
    assert "gpu-node-1" in shell.run(create)
    (shell._folder / "train.py").write_text(blocks("python")[0])
    shell.run(log)
    runs = shell.run(read)
    assert "vision/digits/first" in runs
    assert "train/loss" in runs
    trust = ssl.create_default_context(cafile=shell._folder / "ca.pem")
    with httpx.Client(base_url=f"https://{shell._address}", verify=trust) as browser:
        assert browser.get("/api/v1/projects").status_code == 401
        own = {"origin": f"https://{shell._address}"}
        key = (shell._folder / "ada.key").read_text().strip()
        assert browser.post("/signin", data={"key": key}, headers=own).status_code == 303
        assert browser.get("/api/v1/whoami").json()["name"] == "ada"
        edit = browser.patch("/api/v1/runs/vision/digits/first", json={"notes": "x"}, headers=own)
        assert edit.status_code == 403
        assert "write:vision/digits" in edit.text
        assert browser.get("/api/v1/runs/vision/digits/first").json()["tags"] == []
        edit_run, command, rest = change.partition("stepwell delete")
        shell.run(edit_run)
        changed = browser.get("/api/v1/runs/vision/digits/first").json()
        assert (changed["name"], changed["tags"]) == ("Baseline", ["best"])
        shell.run(command + rest)
        assert browser.get("/api/v1/runs/vision/digits/first").status_code == 404
    entries = shell.run(audit + "stepwell audit --json --limit 100\n")
    for action in ("key.create", "sign_in", "run.edit", "run.delete", "sql"):
        assert action in entries, action
