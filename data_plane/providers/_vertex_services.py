"""Where is Vertex AI, and where are the services of Google beside it that an account calls too?

An account at an address of its own, a proxy's, finds all of them there: nothing goes to Google past it.
"""

from typing import Final
from urllib.parse import urlsplit

from data_plane.core.types import CallFacts
from shared.addresses import lies_at

BASE: Final = (
    "https://{vertex_region-}aiplatform.googleapis.com/v1/projects/{vertex_project_id}/locations/{vertex_region}"
)
STORAGE: Final = "https://storage.googleapis.com"
RANKING: Final = "https://discoveryengine.googleapis.com"


def service_at(base_url: str, facts: CallFacts, service: str) -> str:
    """Return the origin of a `service` for an account whose Vertex AI is at `base_url`."""
    if lies_at(base_url, BASE, facts.settings):
        return service
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"
