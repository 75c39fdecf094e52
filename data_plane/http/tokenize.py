"""`POST /v1/gateway/tokenize`: about how many tokens a text, a prompt or a conversation is.

The vocabularies of models are not at hand here, so the number is an estimate and says so; whoever needs the exact one
asks the model's provider by `POST /v1/messages/count_tokens`.
"""

from aiohttp import web

from data_plane.core.estimate import asked_tokens
from data_plane.http.ingress import read_body
from data_plane.http.own import json_response, principal_for, refusing
from data_plane.pipeline.resolve import decode_body
from shared.errors import BadRequest

_READ = ("messages", "input", "prompt", "text")


async def tokenize(request: web.Request) -> web.StreamResponse:
    """Answer `POST /v1/gateway/tokenize`."""
    principal_for(request)
    body = decode_body(await read_body(request))
    named = next((name for name in _READ if body.get(name) is not None), None)
    if named is None:
        raise BadRequest(f"The body must have one of: {', '.join(_READ)}", path="input")
    asked = {**body, "input": body[named]} if named == "text" else body
    tokens = asked_tokens(asked)
    told = {"object": "tokens", "model": body.get("model"), "input_tokens": tokens, "estimated": True}
    return json_response(request, told)


def add_tokenize_route(router: web.UrlDispatcher) -> None:
    """Add the route."""
    router.add_post("/v1/gateway/tokenize", refusing(tokenize))
