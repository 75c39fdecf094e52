"""Which scopes there are, and who may hold them."""

import pytest

from control_plane.core.scopes import (
    DATA_PLANE,
    KEY_ADMINISTRATION,
    OF_KEY_TYPE,
    ORGANISATION_KEY,
    WORKSPACE_SERVICE_KEY,
    WORKSPACE_USER_KEY,
    refuse_unfit,
    scope_prefix,
)
from shared.errors import BadRequest


def test_admin_keys_cannot_infer():
    assert not OF_KEY_TYPE[ORGANISATION_KEY] & DATA_PLANE


def test_only_workspace_service_keys_among_workspace_keys_administer_keys():
    assert OF_KEY_TYPE[WORKSPACE_SERVICE_KEY] >= KEY_ADMINISTRATION
    assert not KEY_ADMINISTRATION & OF_KEY_TYPE[WORKSPACE_USER_KEY]


@pytest.mark.parametrize("scope", ["workspaces.create", "workspaces.delete", "audit_logs.list"])
def test_a_scope_of_the_organisation_is_for_admin_keys_only(scope):
    assert [name for name, scopes in OF_KEY_TYPE.items() if scope in scopes] == [ORGANISATION_KEY]


@pytest.mark.parametrize("scope", ["completions.write", "logs.view", "configs.list", "virtual_keys.duplicate"])
def test_both_workspace_keys_hold_what_the_contract_names(scope):
    assert scope in OF_KEY_TYPE[WORKSPACE_SERVICE_KEY]
    assert scope in OF_KEY_TYPE[WORKSPACE_USER_KEY]


def test_an_unfit_scope_is_named():
    refuse_unfit(frozenset({"logs.view"}), WORKSPACE_USER_KEY)
    with pytest.raises(BadRequest, match=r"audit_logs\.list, no\.such"):
        refuse_unfit(frozenset({"no.such", "audit_logs.list", "logs.view"}), WORKSPACE_USER_KEY)


def test_the_scopes_of_keys_are_named_after_their_type():
    assert scope_prefix(WORKSPACE_USER_KEY) == "workspace_user_api_keys"
