"""Lambda: OpenAI's shape.  Source: https://docs.lambda.ai/public-cloud/lambda-inference-api"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="lambda",
    label="Lambda",
    base_url="https://api.lambda.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("lambda"),
        "complete": complete("lambda"),
    },
)
