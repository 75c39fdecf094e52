"""What new workspaces begin with, and what becomes of it."""

from importlib import import_module

import pytest
from django.apps import apps

from control_plane.core.errors import Conflict
from control_plane.core.models import AuditEvent
from control_plane.orgs.models import Workspace
from control_plane.orgs.services import delete_workspace, resources_of
from control_plane.prompts.models import Collection, Label
from control_plane.prompts.services import BUILTIN_LABELS, create_collection, create_label
from tests.control_plane.factories import make_tenant, make_workspace

pytestmark = pytest.mark.django_db


def test_each_workspace_begins_with_a_default_collection():
    tenant = make_tenant()
    make_workspace(tenant)
    rows = Collection.objects.filter(organisation=tenant.organisation)
    assert [(row.is_default, row.parent) for row in rows] == [(True, None)] * 2
    assert AuditEvent.objects.filter(resource_type="collection", organisation_id=tenant.organisation.pk).count() == 2


def test_the_built_in_labels_are_made_once_for_an_organisation():
    tenant = make_tenant()
    make_workspace(tenant)
    rows = Label.objects.filter(organisation=tenant.organisation)
    assert sorted(rows.values_list("name", flat=True)) == sorted(BUILTIN_LABELS)
    assert all(row.workspace is None for row in rows)


def test_the_default_collection_goes_with_its_workspace():
    tenant = make_tenant()
    team = make_workspace(tenant)
    row = Collection.objects.get(workspace=team)
    assert resources_of(team) == {}
    delete_workspace(tenant.actor, team)
    assert not Collection.objects.filter(pk=row.pk).exists()
    assert AuditEvent.objects.filter(resource_id=str(row.pk), action="delete").exists()


@pytest.mark.parametrize(("fill", "named"), [(create_collection, "collections"), (create_label, "labels")])
def test_what_people_made_keeps_the_workspace(fill, named):
    tenant = make_tenant()
    team = make_workspace(tenant)
    fill(tenant.actor, team, {"name": "mine"} if named == "labels" else "mine")
    with pytest.raises(Conflict, match=f"1 {named}"):
        delete_workspace(tenant.actor, team)
    assert Collection.objects.filter(workspace=team, is_default=True).exists()


def test_workspaces_that_were_there_before_are_furnished_once():
    tenant = make_tenant()
    Collection.objects.filter(organisation=tenant.organisation).delete()
    Label.objects.filter(organisation=tenant.organisation, name="staging").delete()
    furnish = import_module("control_plane.prompts.migrations.0002_beginnings").furnish
    for _ in range(2):
        furnish(apps, None)
    assert Collection.objects.filter(workspace=tenant.workspace, is_default=True).count() == 1
    labels = Label.objects.filter(organisation=tenant.organisation, is_builtin=True)
    assert sorted(labels.values_list("name", flat=True)) == sorted(BUILTIN_LABELS)
    assert Workspace.objects.filter(collection__is_default=True).count() == Workspace.objects.count()
