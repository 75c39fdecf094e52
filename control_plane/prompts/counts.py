"""How many collections and prompts are in each collection, and when did one of them last change?

Told by the query that lists the collections, so that a list of many costs no more queries than a list of few.
"""

from typing import Any

from django.db.models import Count, DateTimeField, Expression, IntegerField, Max, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from control_plane.core.fields import iso
from control_plane.prompts.models import Collection

Json = dict[str, Any]


def prompt_counts() -> dict[str, Expression]:
    """Return what tells the prompts of a collection: their number and last change.

    This version has no prompts, so there are none; their model is counted here once it is there.
    """
    return {
        "prompts_count": Value(0, output_field=IntegerField()),
        "prompts_changed_at": Value(None, output_field=DateTimeField(null=True)),
    }


def counted(rows: QuerySet[Collection]) -> QuerySet[Any]:
    """Return the collections with what `details_json` shows of each."""
    children = Collection.objects.filter(parent=OuterRef("pk")).order_by().values("parent")
    number = children.annotate(number=Count("pk")).values("number")
    newest = children.annotate(newest=Max("last_updated_at")).values("newest")
    return rows.annotate(
        children_count=Coalesce(Subquery(number, output_field=IntegerField()), 0),
        children_changed_at=Subquery(newest, output_field=DateTimeField(null=True)),
        **prompt_counts(),
    )


def details_json(row: Any) -> Json:
    """Return what is in a collection that comes from `counted`, as the API shows it."""
    return {
        "child_collections_count": row.children_count,
        "prompts_count": row.prompts_count,
        "child_collections_last_updated_at": iso(row.children_changed_at),
        "prompts_last_updated_at": iso(row.prompts_changed_at),
    }
