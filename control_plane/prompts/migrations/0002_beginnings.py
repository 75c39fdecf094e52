"""What workspaces and organisations begin with, for those that were there before."""

from django.db import migrations

BUILTIN_LABELS = ("production", "staging", "development")


def furnish(apps, _schema_editor):
    collections, labels = apps.get_model("prompts", "Collection"), apps.get_model("prompts", "Label")
    for workspace in apps.get_model("orgs", "Workspace").objects.exclude(collection__is_default=True):
        collections.objects.create(
            organisation_id=workspace.organisation_id,
            workspace=workspace,
            slug="default",
            name="Default",
            is_default=True,
        )
    for organisation in apps.get_model("orgs", "Organisation").objects.all():
        known = set(labels.objects.filter(organisation=organisation, workspace=None).values_list("name", flat=True))
        for name in BUILTIN_LABELS:
            if name not in known:
                labels.objects.create(organisation=organisation, name=name, is_builtin=True)


class Migration(migrations.Migration):
    dependencies = (("prompts", "0001_initial"),)
    operations = (migrations.RunPython(furnish, migrations.RunPython.noop),)
