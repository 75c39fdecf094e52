"""`manage.py bootstrap_demo`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from control_plane.catalog.models import VirtualKey
from control_plane.gateways.signing import create_root
from control_plane.orgs.models import Organisation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("trusted_hosts")]
NAMES = {
    "organisation_id", "workspace_id", "workspace_slug", "owner_email", "setup_url", "admin_api_key", "api_key",
    "enrolment_token", "root_sha256", "model",
}  # fmt: skip


def run(*arguments):
    out = StringIO()
    call_command("bootstrap_demo", *arguments, stdout=out)
    return json.loads(out.getvalue())


def test_it_prints_one_json_object(folder):
    create_root(folder)
    made = run("--json", "--demo-provider-url", "http://127.0.0.1:9999/v1")
    assert set(made) == NAMES
    assert VirtualKey.objects.get().integration.custom_host == "http://127.0.0.1:9999/v1"


def test_keys_are_printed_when_they_are_made_and_only_then(folder):
    create_root(folder)
    first, second, third = run(), run(), run("--new-keys")
    shown = [(made["admin_api_key"], made["api_key"]) for made in (first, second, third)]
    assert shown[1] == (None, None)
    assert len({*shown[0], *shown[2]} - {None}) == 4


def test_without_signing_keys_it_says_what_to_run_and_makes_nothing(folder):
    with pytest.raises(CommandError, match="run create_signing_keys"):
        run()
    assert not Organisation.objects.exists()


def test_an_address_that_may_not_be_a_provider_ends_with_a_sentence(folder):
    create_root(folder)
    with pytest.raises(CommandError, match="custom_host"):
        run("--demo-provider-url", "http://169.254.169.254/v1")
