"""MonsterAPI: OpenAI's shape.  Source: https://developer.monsterapi.ai/docs"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="monsterapi",
    label="MonsterAPI",
    base_url="https://llm.monsterapi.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("monsterapi"),
    },
)
