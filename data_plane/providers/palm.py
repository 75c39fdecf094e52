"""Google's models under the name that they had before Gemini.

Google switched the PaLM API off; the same keys, at the same host, open the Gemini API.  So this name means Gemini, and
a config that still says `palm` works once it names a model that exists.
Source: https://ai.google.dev/palm_docs/deprecation
"""

from data_plane.providers._gemini_like import developer_operations
from data_plane.providers._google_auth import api_key
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="palm",
    label="Google PaLM (now Gemini)",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    authorise=api_key,
    operations=developer_operations("palm"),
    price_source="google",
)
