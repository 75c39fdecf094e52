"""Labels and collections: what may be made, moved and deleted."""

import pytest

from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.models import AuditEvent
from control_plane.keys.authentication import principal_of_key
from control_plane.prompts.models import Collection, Label
from control_plane.prompts.services import (
    BUILTIN_LABELS,
    MAX_DEPTH,
    create_collection,
    create_label,
    default_collection,
    delete_collection,
    delete_label,
    make_builtin_labels,
    update_collection,
    update_label,
)
from tests.control_plane.factories import make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def actions_on(row_id):
    return list(AuditEvent.objects.filter(resource_id=str(row_id)).order_by("id").values_list("action", flat=True))


def chain(tenant, length, name="folder"):
    """Collections that lie in one another, the outermost first."""
    made = []
    for number in range(length):
        parent = made[-1].slug if made else None
        made.append(create_collection(tenant.actor, tenant.workspace, f"{name} {number}", parent))
    return made


def test_a_label_is_unique_where_it_is_seen(tenant):
    team, other = make_workspace(tenant), make_workspace(tenant)
    create_label(tenant.actor, team, {"name": "mine"})
    create_label(tenant.actor, other, {"name": "mine"})
    create_label(make_tenant().actor, None, {"name": "mine"})
    for home in (team, None):
        with pytest.raises(Conflict):
            create_label(tenant.actor, home, {"name": "mine"})
    create_label(tenant.actor, None, {"name": "ours"})
    for home in (team, other, None):
        with pytest.raises(Conflict):
            create_label(tenant.actor, home, {"name": "ours"})


def test_a_label_keeps_its_own_name_and_gets_no_others(tenant):
    row = create_label(tenant.actor, None, {"name": "one", "description": "d", "color_code": "#fff"})
    create_label(tenant.actor, None, {"name": "two"})
    assert update_label(tenant.actor, row, {"name": "one", "description": None}).description == ""
    with pytest.raises(Conflict):
        update_label(tenant.actor, row, {"name": "two"})
    row.refresh_from_db()
    assert (row.name, row.color_code) == ("one", "#fff")


def test_labels_that_are_built_in_keep_their_names_and_stay(tenant):
    built_in = Label.objects.filter(organisation=tenant.organisation, is_builtin=True)
    assert set(built_in.values_list("name", flat=True)) == set(BUILTIN_LABELS)
    for row in built_in:
        with pytest.raises(Invalid):
            delete_label(tenant.actor, row)
        with pytest.raises(Invalid):
            update_label(tenant.actor, row, {"name": "other"})
        assert update_label(tenant.actor, row, {"name": row.name, "color_code": "#0f0"}).color_code == "#0f0"
    assert make_builtin_labels(tenant.actor) == []


def test_whoever_reaches_one_workspace_leaves_the_organisations_labels_alone(tenant):
    row = create_label(tenant.actor, None, {"name": "ours"})
    principal = principal_of_key(make_key(tenant).row)
    for change in (
        lambda: create_label(principal, None, {"name": "mine"}),
        lambda: update_label(principal, row, {"name": "mine"}),
        lambda: delete_label(principal, row),
    ):
        with pytest.raises(Denied):
            change()
    assert actions_on(row.pk) == ["create"]


def test_every_change_of_a_label_is_in_the_trail(tenant):
    row = create_label(tenant.actor, None, {"name": "one"})
    row_id = row.pk
    update_label(tenant.actor, row, {"name": "two"})
    delete_label(tenant.actor, row)
    assert actions_on(row_id) == ["create", "update", "delete"]
    assert AuditEvent.objects.get(resource_id=str(row_id), action="update").before["name"] == "one"


def test_collections_lie_in_one_another_up_to_a_depth(tenant):
    made = chain(tenant, MAX_DEPTH)
    assert [row.parent for row in made] == [None, *made[:-1]]
    with pytest.raises(Invalid, match=str(MAX_DEPTH)):
        create_collection(tenant.actor, tenant.workspace, "too deep", str(made[-1].pk))


def test_two_collections_of_one_name_have_two_slugs(tenant):
    first, second = (create_collection(tenant.actor, tenant.workspace, "Same name") for _ in range(2))
    assert first.slug == "same-name"
    assert second.slug.startswith("same-name-")


def test_a_parent_is_of_the_same_workspace(tenant):
    elsewhere = create_collection(tenant.actor, make_workspace(tenant), "elsewhere")
    for named in (elsewhere.slug, str(elsewhere.pk), "nothing", "a\x00"):
        with pytest.raises(Invalid):
            create_collection(tenant.actor, tenant.workspace, "inside", named)


def test_a_collection_cannot_be_moved_into_itself(tenant):
    outer, middle, inner = chain(tenant, 3)
    for target in (outer, middle, inner):
        with pytest.raises(Invalid, match="in itself"):
            update_collection(tenant.actor, outer, {"parent_collection_id": target.slug})
    assert Collection.objects.get(pk=outer.pk).parent is None


def test_a_collection_is_moved_with_what_is_in_it_as_far_as_the_depth_allows(tenant):
    deep, pair = chain(tenant, MAX_DEPTH - 1), chain(tenant, 2, "pair")
    with pytest.raises(Invalid, match=str(MAX_DEPTH)):
        update_collection(tenant.actor, pair[0], {"parent_collection_id": deep[-1].slug})
    moved = update_collection(tenant.actor, pair[0], {"name": "moved", "parent_collection_id": deep[-2].slug})
    assert (moved.name, moved.parent) == ("moved", deep[-2])
    assert update_collection(tenant.actor, pair[0], {"parent_collection_id": None}).parent is None
    assert update_collection(tenant.actor, pair[1], {"name": "stays"}).parent == pair[0]


def test_a_collection_with_others_in_it_is_not_deleted(tenant):
    outer, inner = chain(tenant, 2)
    with pytest.raises(Conflict):
        delete_collection(tenant.actor, outer)
    delete_collection(tenant.actor, inner)
    delete_collection(tenant.actor, outer)
    assert not Collection.objects.filter(workspace=tenant.workspace, is_default=False).exists()


def test_the_default_collection_stays_where_it_is(tenant):
    row, other = default_collection(tenant.actor, tenant.workspace), chain(tenant, 1)[0]
    with pytest.raises(Invalid):
        delete_collection(tenant.actor, row)
    with pytest.raises(Invalid):
        update_collection(tenant.actor, row, {"parent_collection_id": other.slug})
    assert update_collection(tenant.actor, row, {"name": "Ours"}).name == "Ours"


def test_a_workspace_has_one_default_collection_which_is_made_when_it_is_missing(tenant):
    row = default_collection(tenant.actor, tenant.workspace)
    assert default_collection(tenant.actor, tenant.workspace) == row
    row.delete()
    again = default_collection(tenant.actor, tenant.workspace)
    assert (again.is_default, again.slug, actions_on(again.pk)) == (True, "default", ["create"])
