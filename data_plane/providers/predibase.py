"""Predibase: OpenAI's shape, one address for each deployment of a tenant.

The model names the deployment, and behind a colon an adapter: `llama-3-8b:my-adapter/1`.  The tenant is what callers
send as `user`, or a config puts there.
Source: https://docs.predibase.com/user-guide/inference/migrate-openai
"""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider
from shared.errors import BadRequest

_ID: Final = "predibase"
_CHAT: Final = chat(_ID)


def _step(name: object, path: str, what: str) -> str:
    """Return what can stand in the address as one step; raises BadRequest."""
    if not isinstance(name, str) or name.strip(".") == "":
        raise BadRequest(f"{path} must name {what} of {_ID}.", path=path)
    return quote(name, safe="", errors="replace")


def _path(facts: CallFacts) -> str:
    tenant = _step(facts.asked.get("user"), "user", "the tenant")
    deployment = _step(facts.model.partition(":")[0], "model", "a deployment")
    return f"/{tenant}/deployments/v2/llms/{deployment}/v1/chat/completions"


def _encode(body: Json, facts: CallFacts) -> Json:
    # Without an adapter the deployment's own model is meant, whose name is empty.
    adapter = facts.model.partition(":")[2]
    return _CHAT.encode({name: value for name, value in body.items() if name != "user"}, replace(facts, model=adapter))


PROVIDER = Provider(
    id=_ID,
    label="Predibase",
    base_url="https://serving.app.predibase.com",
    authorise=bearer,
    operations={"chat": replace(_CHAT, path=_path, encode=_encode, passes_through=False)},
    lists_models=False,
)
