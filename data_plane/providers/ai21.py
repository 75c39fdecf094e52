"""AI21: its Jamba models, in OpenAI's shape.  The older completions and embeddings of its own are gone.

Source: https://docs.ai21.com/reference/jamba-1-6-api-ref
"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="ai21",
    label="AI21",
    base_url="https://api.ai21.com/studio/v1",
    authorise=bearer,
    # Tokens stand in the last chunk of every stream; AI21 has no `stream_options`.
    operations={"chat": chat("ai21", asks_usage=False)},
    lists_models=False,
)
