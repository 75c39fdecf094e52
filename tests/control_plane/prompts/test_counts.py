"""How many collections and prompts are in each collection."""

import pytest

from control_plane.prompts.counts import counted, details_json
from control_plane.prompts.models import Collection
from control_plane.prompts.services import create_collection
from tests.control_plane.factories import make_tenant

pytestmark = pytest.mark.django_db


def test_only_what_lies_directly_in_a_collection_is_counted():
    tenant = make_tenant()
    outer = create_collection(tenant.actor, tenant.workspace, "outer")
    inner = [create_collection(tenant.actor, tenant.workspace, f"inner {n}", outer.slug) for n in range(2)]
    create_collection(tenant.actor, tenant.workspace, "innermost", inner[0].slug)
    told = {row.name: details_json(row) for row in counted(Collection.objects.filter(workspace=tenant.workspace))}
    assert {name: each["child_collections_count"] for name, each in told.items()} == {
        "Default": 0, "outer": 2, "inner 0": 1, "inner 1": 0, "innermost": 0,
    }  # fmt: skip
    newest = inner[1].last_updated_at.isoformat().replace("+00:00", "Z")
    assert told["outer"]["child_collections_last_updated_at"] == newest
    assert told["innermost"]["child_collections_last_updated_at"] is None


def test_there_are_no_prompts_to_count():
    tenant = make_tenant()
    (row,) = counted(Collection.objects.filter(workspace=tenant.workspace))
    assert (details_json(row)["prompts_count"], details_json(row)["prompts_last_updated_at"]) == (0, None)
