"""`make organisation NAME=...`: how does another organisation come into the running system?"""

import sys
from collections.abc import Sequence
from typing import Any, Final

from deploy.local import plan
from deploy.local.children import CannotStart
from deploy.local.plan import Layout
from deploy.local.up import base_environment, is_running, manage_json

_LABELS: Final = {
    "name": "organisation",
    "organisation_id": "organisation id",
    "workspace_slug": "workspace",
    "workspace_id": "workspace id",
    "admin_api_key": "admin API key",
    "api_key": "workspace key",
    "owner_email": "owner",
    "setup_url": "owner's set-up",
}


def create(name: str, layout: Layout) -> dict[str, Any]:
    """Make the organisation `name` and return what the control plane tells of it.

    Raises `CannotStart` when no system runs on the folder or the control plane refuses.
    """
    environment = plan.read_pairs(layout.environment)
    if not environment or not is_running(layout):
        raise CannotStart("the system is not running; start it with `make up` in another terminal.")
    return manage_json({**base_environment(), **environment}, "create_organisation", name, "--json")


def readable(made: dict[str, Any]) -> str:
    """Return the facts of a new organisation as lines of label and value; what is empty is left out."""
    labels = {**_LABELS, **{key: key.replace("_", " ") for key in made if key not in _LABELS}}
    return "\n".join(f"  {label:<16} {made[key]}" for key, label in labels.items() if made.get(key))


def main(arguments: Sequence[str]) -> int:
    """Make one organisation from the command line; return the exit status."""
    name = " ".join(arguments).strip()
    if not name:
        print("make organisation: say its name: make organisation NAME=Acme", file=sys.stderr)
        return 2
    try:
        print(readable(create(name, plan.read_layout())))
    except CannotStart as fault:
        print(f"make organisation: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
