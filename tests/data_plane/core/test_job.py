from data_plane.core.job import Choice, Principal
from shared.redact import Secret
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.data_plane import kit


def test_a_caller_is_revoked_by_key_by_workspace_or_by_organisation():
    principal = Principal(kit.api_key(), OrgRow(kit.ORG, "Demo"), WorkspaceRow(kit.WS, kit.ORG, "ws", "W"))
    assert principal.denial_ids() == (f"k:{kit.KEY_ID}", f"ws:{kit.WS}", f"org:{kit.ORG}")


def test_the_callers_own_provider_key_is_not_shown():
    assert "sentinel" not in repr(Choice(key=Secret("sk-sentinel-own-key")))
