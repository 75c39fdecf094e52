"""What does a new workspace begin with?  A default collection; a new organisation has the built-in labels as well."""

from typing import Any

from django.dispatch import receiver

from control_plane.core.principal import Principal
from control_plane.orgs.models import Workspace
from control_plane.orgs.services import workspace_made
from control_plane.prompts.services import default_collection, make_builtin_labels


@receiver(workspace_made, dispatch_uid="prompts.workspace_made")
def furnish(actor: Principal, workspace: Workspace, **_signal: Any) -> None:
    """Make the default collection of a workspace, and with an organisation's first one the built-in labels."""
    default_collection(actor, workspace)
    if workspace.is_default:
        make_builtin_labels(actor)
