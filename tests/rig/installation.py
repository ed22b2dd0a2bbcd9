"""`make install` and `make uninstall` of this tree, into a folder (DESTDIR)."""

import os
import subprocess
from pathlib import Path

from rig.needs import require

TREE = Path(__file__).parents[2]
"""This tree."""

PYTHON = "/usr/bin/python3"


def make(target: str, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run make in this tree, whatever its exit code; what it prints, diagnostics included, is `stdout`."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    # No flags of the make that runs the tests.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    return subprocess.run(
        ["make", "--no-print-directory", target, *settings],
        cwd=TREE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def make_install(folder: Path) -> str:
    """Install into `folder` and return what was said; the dependencies come from the package index or pip's cache."""
    require("make", PYTHON)
    done = make("install", DESTDIR=folder)
    assert done.returncode == 0, done.stdout
    return done.stdout
