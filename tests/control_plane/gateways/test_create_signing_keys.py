"""`manage.py create_signing_keys`."""

from io import StringIO

import pytest
from django.core.management import call_command

from control_plane.gateways.signing import first_root_digest

pytestmark = pytest.mark.django_db


def run():
    out = StringIO()
    call_command("create_signing_keys", stdout=out)
    return out.getvalue().strip()


def test_it_prints_the_digest_to_pin_and_prints_the_same_when_run_again(folder):
    first = run()
    assert first == first_root_digest()
    assert len(first) == 64
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run() == first
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
