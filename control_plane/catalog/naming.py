"""What are new integrations and virtual keys called in requests?"""

from typing import Any

from control_plane.core.errors import Conflict
from control_plane.core.fields import slug_of
from shared.ids import make_slug


def free_slug(rows: Any, wanted: str | None, name: str, fallback: str = "provider") -> str:
    """Return the wanted slug, or a free one made of the name.  Raises Conflict when the wanted one is taken."""
    slug = wanted or slug_of(name, fallback)
    if not rows.filter(slug=slug).exists():
        return slug
    if wanted:
        raise Conflict(f"The slug {wanted!r} is taken.")
    return make_slug(slug, 6)
