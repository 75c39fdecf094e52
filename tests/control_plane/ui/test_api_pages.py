"""The page of the Admin API's operations."""

import pytest

from control_plane.core.openapi import operations
from control_plane.orgs.services import add_workspace_user
from tests.control_plane.factories import make_member, make_tenant
from tests.control_plane.ui.page_kit import Page, owner_of, signed_in

pytestmark = pytest.mark.django_db


def test_every_operation_is_there():
    shown = Page(owner_of(make_tenant()).get("/api")).text
    for operation in operations():
        assert f"{operation.method.upper()} /v1{operation.path}" in shown
    assert "not yours" not in shown


def test_a_member_reads_which_calls_a_key_of_theirs_would_lack():
    tenant = make_tenant()
    member = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, member.pk, "member")
    answer = signed_in(member).get("/api")
    assert answer.status_code == 200
    assert "not yours" in Page(answer).text
