"""`manage.py create_enrolment`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from control_plane.gateways.models import EnrolmentToken, GatewayGroup
from control_plane.gateways.services import enrol
from control_plane.gateways.signing import create_root
from tests.control_plane.factories import make_tenant
from tests.control_plane.gateways.publisher_kit import GroupKeys

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = StringIO()
    call_command("create_enrolment", *arguments, stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.parametrize("by", ["name", "id"])
def test_it_prints_a_token_that_enrols_a_group_of_the_organisation(folder, by):
    root, tenant = create_root(folder), make_tenant()
    made = run(tenant.organisation.name if by == "name" else str(tenant.organisation.pk), "--group", "eu")
    assert set(made) == {"token", "root_sha256"}
    assert made["root_sha256"] == root.digest
    enrol(GroupKeys().ask(made["token"]))
    group = GatewayGroup.objects.get()
    assert (group.organisation, group.name, group.serves_all) == (tenant.organisation, "eu", False)


def test_a_group_serves_all_only_when_asked_for(folder):
    create_root(folder)
    run(make_tenant().organisation.name, "--serves-all")
    token = EnrolmentToken.objects.get()
    assert (token.serves_all, token.group_name) == (True, "gateways")


def test_an_unknown_organisation_ends_with_a_sentence_and_makes_nothing(folder):
    create_root(folder)
    make_tenant()
    with pytest.raises(CommandError, match="There is no single organisation called 'Nobody'"):
        run("Nobody")
    assert not EnrolmentToken.objects.exists()


def test_a_name_that_two_organisations_have_ends_with_a_sentence(folder):
    create_root(folder)
    for tenant in (make_tenant(), make_tenant()):
        tenant.organisation.name = "Twins"
        tenant.organisation.save()
    with pytest.raises(CommandError, match="no single organisation"):
        run("Twins")


def test_without_signing_keys_it_says_what_to_run_and_makes_nothing(folder):
    with pytest.raises(CommandError, match="run create_signing_keys"):
        run(make_tenant().organisation.name)
    assert not EnrolmentToken.objects.exists()
