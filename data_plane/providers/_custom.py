"""A provider that an organisation added by configuration: its row → the same parts that built-in providers are made of.

The host speaks OpenAI's API; where its words differ, the row's parameter map says how.  Nothing else is translated.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from data_plane.core.endpoint import ENDPOINTS
from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import chat, complete, listing, speech
from data_plane.providers._openai_media import forms, image, moderation
from data_plane.providers._openai_realtime import realtime
from data_plane.providers._openai_responses import native_responses
from data_plane.providers._rerank import rerank
from data_plane.providers.base import CredentialField, Operation, Provider
from shared.errors import Unsupported
from shared.redact import Secret
from shared.schema.custom_provider import faults_of
from shared.schema.rows import CustomProviderRow, EndpointRow, ParameterMap


def _form(provider: str, *, name: str) -> Operation:
    return forms(provider, name)[name]


#: What a host that speaks OpenAI's API may have, and what makes the operation for a provider's id.  Operations that a
#: chat can stand for (`_by_chat.py`) need not be here.
OPERATIONS: Final[Mapping[str, Callable[[str], Operation]]] = {
    "chat": chat,
    "complete": complete,
    "responses": native_responses,
    "embed": partial(listing, path="/embeddings"),
    "image": image,
    "speech": speech,
    "rerank": rerank,
    "moderate": moderation,
    "ocr": partial(listing, path="/ocr", holds="pages"),
    "realtime": realtime,
    **{name: partial(_form, name=name) for name in ("transcribe", "translate", "edit_image", "vary_image")},
}
#: Those that a custom provider has unless its row says which.
USUAL: Final = ("chat", "complete", "embed")
_WITHOUT_USAGE: Final[Mapping[str, Callable[[str], Operation]]] = {
    "chat": partial(chat, asks_usage=False),
    "complete": partial(chat, path="/completions", asks_usage=False),
}


def usual_path(operation: str) -> str:
    """Return where hosts have an operation, below their base URL."""
    return ENDPOINTS[operation].path.removeprefix("/v1")


def _keyless(_secret: Secret, _headers: dict[str, str]) -> None:
    """Leave the credential out: the host takes none."""


def _authorise(secret: Secret, headers: dict[str, str], *, header: str, prefix: str) -> None:
    headers[header] = f"{prefix}{secret.reveal()}"


def _says(body: Json, name: str) -> bool:
    """Return whether a request says something with a parameter: null says nothing, nor does `"stream": false`."""
    value = body.get(name)
    return value is not None and not (name == "stream" and value is False)


def renamed(body: Json, rename: Mapping[str, str]) -> Json:
    """Return `body` with parameters under other names, all at once, so that two may change places.

    Of several that come to one name the first in the alphabet wins that says something; a parameter that had the name
    already, never.
    """
    kept = {name: value for name, value in body.items() if name not in rename}
    taken: Json = {}
    for old in sorted(rename.keys() & body.keys()):
        if taken.get(rename[old]) is None:
            taken[rename[old]] = body[old]
    return {**kept, **taken}


def _mapped(body: Json, facts: CallFacts, *, operation: Operation, rules: ParameterMap, provider: str) -> Json:
    """Encode a request and put it into the host's words; raises Unsupported for what the host does not have."""
    for name in rules.refuse:
        if _says(body, name):
            raise Unsupported(f"{name} is not supported by {provider}", path=name)
    encoded = operation.encode(body, facts)
    # What would be refused and says nothing may be unknown to the host all the same.
    left_out = {*rules.drop, *rules.refuse}
    kept = {name: value for name, value in encoded.items() if name not in left_out}
    return renamed({**rules.defaults, **kept}, rules.rename)


def _operation(row: CustomProviderRow, name: str, endpoint: EndpointRow) -> Operation:
    make = OPERATIONS[name] if row.streams_usage else _WITHOUT_USAGE.get(name, OPERATIONS[name])
    made = replace(make(row.slug), path=endpoint.path or usual_path(name))
    rules = row.parameters if endpoint.parameters is None else endpoint.parameters
    if rules == ParameterMap():
        return made
    encode = partial(_mapped, operation=made, rules=rules, provider=row.slug)
    # What is sent on unread would reach the host in OpenAI's words.
    return replace(made, encode=encode, passes_through=False)


def build_provider(row: CustomProviderRow) -> Provider:
    """Return the provider of a row, without the operations that this version does not know.

    Raises ValueError, with a sentence that says where, for a row that the control plane would not have saved.
    """
    faults = faults_of(row)
    if faults:
        raise ValueError(faults[0])
    auth = row.auth
    endpoints = row.endpoints or {name: EndpointRow() for name in USUAL}
    return Provider(
        id=row.slug,
        label=row.name or row.slug,
        base_url=row.base_url,
        authorise=partial(_authorise, header=auth.header, prefix=auth.prefix) if auth is not None else _keyless,
        operations={
            name: _operation(row, name, endpoint) for name, endpoint in endpoints.items() if name in OPERATIONS
        },
        default_headers=row.headers,
        credential=(CredentialField("key", "API key", secret=True),) if auth is not None else (),
        # The row's id is in no price list: a slug that happens to be in one must not borrow its prices.
        price_source=row.price_source or row.id,
        is_custom=True,
    )
