"""What the control plane knows of providers is what the gateway has."""

import subprocess
import sys

from tests.architecture.source_tree import ROOT


def test_the_catalogue_is_current():
    made = subprocess.run(
        [sys.executable, "-m", "data_plane", "catalog"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ROOT / "shared/catalog/catalog.json").read_text() == made.stdout, "run `make catalog`"
