"""The caller's side of a realtime session: what its handshake says, and the WebSocket that follows.

A browser cannot set headers, so what others say in headers it says in the subprotocols, as OpenAI's clients do.
"""

from collections.abc import Mapping
from typing import Final, Literal

import orjson
from aiohttp import web

from data_plane.core.duplex import SUBPROTOCOL, Conversation
from data_plane.core.exchange import Call
from data_plane.core.types import Answer
from data_plane.upstream.sockets import CLOSE_TIMEOUT_S, WebSocket
from shared.errors import BadRequest, GatewayError

_PROTOCOLS: Final = "sec-websocket-protocol"
_KEY: Final = "openai-insecure-api-key."
#: What other subprotocols of OpenAI's clients mean as headers: their beginning, and the header's name.
_AS_HEADERS: Final = (
    ("openai-organization.", "openai-organization"),
    ("openai-project.", "openai-project"),
)
_BETA: Final = "openai-beta.realtime-v1"


class UpgradeRequired(GatewayError):
    """The endpoint speaks WebSocket, and the request does not."""

    status = 426
    code = "upgrade_required"


def _said_by_protocols(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what the subprotocols say, as headers; raises BadRequest when the conversation's own is not among them."""
    offered = [word.strip() for word in headers.get(_PROTOCOLS, "").split(",") if word.strip()]
    if offered and SUBPROTOCOL not in offered:
        raise BadRequest(f"The subprotocols must include {SUBPROTOCOL}.", path=_PROTOCOLS)
    said = {}
    for word in offered:
        if word.startswith(_KEY):
            said["authorization"] = f"Bearer {word.removeprefix(_KEY)}"
        elif word == _BETA:
            said["openai-beta"] = "realtime=v1"
        for beginning, header in _AS_HEADERS:
            if word.startswith(beginning):
                said[header] = word.removeprefix(beginning)
    return said


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers, which win, and what the subprotocols say.

    Those of the handshake are left out: there may be a key in them, and they are of this connection alone.
    """
    kept = {name: value for name, value in headers.items() if not name.startswith("sec-websocket-")}
    return {**_said_by_protocols(headers), **kept}


def _socket(max_message_bytes: int) -> web.WebSocketResponse[Literal[False]]:
    return web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        timeout=CLOSE_TIMEOUT_S,
        autoclose=False,
        autoping=False,
        compress=False,
        # Whoever is cut off in the middle of a message hears no reason, so one that is not much too large is taken
        # whole and then refused (`WebSocket`).
        max_msg_size=2 * max_message_bytes + 1,
        decode_text=False,
    )


def take_handshake(request: web.Request, call: Call, parameters: tuple[str, ...]) -> None:
    """Fill in what the handshake says: headers, and the `parameters` of the address as the call's body.

    Raises UpgradeRequired (426) or BadRequest (400) for a request that no WebSocket can follow.
    """
    if request.headers.get("upgrade", "").strip().lower() != "websocket":
        raise UpgradeRequired("This endpoint speaks WebSocket: connect to it with wss:// or ws://.")
    call.headers = _headers(call.headers)
    if not _socket(0).can_prepare(request):
        raise BadRequest("This is not a WebSocket handshake.")
    call.body = orjson.dumps({name: request.query[name] for name in parameters if name in request.query})


async def converse(request: web.Request, answer: Answer, conversation: Conversation) -> web.StreamResponse:
    """Accept the caller's WebSocket and hold the conversation to its end; raises ConnectionError when it has gone."""
    socket = _socket(conversation.max_message_bytes)
    socket.headers.update(answer.headers)
    await socket.prepare(request)
    transport = request.transport
    abort = transport.abort if transport is not None else None
    await conversation.run(WebSocket(socket, most_bytes=conversation.max_message_bytes, abort=abort))
    return socket
