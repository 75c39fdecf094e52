"""What goes out to the provider?  Destination + job → one HTTP request, translated, or as it came.

Which of the caller's headers reach a provider is decided here (and in `forward.py` for calls that are not read): those
that the provider knows, those that the caller or the config wants forwarded, and where the call stands in its trace.
"""

from secrets import token_hex
from typing import Final
from urllib.parse import urlencode

from data_plane.core.endpoint import ENDPOINTS
from data_plane.core.form import Binary, FormFile, write_form
from data_plane.core.job import Job, Raw
from data_plane.core.parts import Part, unfolded, write_members
from data_plane.core.types import Json, UpstreamRequest
from data_plane.pipeline.forward import forward_headers, forward_url, on_the_wire
from data_plane.pipeline.said import holds_gateway_key
from data_plane.pipeline.target import Destination
from data_plane.providers.base import Operation
from shared import wire
from shared.errors import BadRequest, InvalidJson
from shared.routing.plan import Target
from shared.trace import TRACEPARENT, TRACESTATE, Trace, baggage_of, traceparent_of

BAGGAGE: Final = "baggage"
#: Headers that are the gateway's to set on an upstream call, whatever a caller wants forwarded.
_NEVER_FORWARDED: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "metadata-flavor",
     "x-aws-ec2-metadata-token", "x-google-metadata-request", "accept-encoding"}
)  # fmt: skip


def _put_trace(headers: dict[str, str], job: Job, trace: Trace, propagates: frozenset[str]) -> None:
    """Write where the call stands; `propagates` names the W3C headers that leave the gateway."""
    if TRACEPARENT in propagates and (parent := traceparent_of(trace)) is not None:
        headers[TRACEPARENT] = parent
        if trace.tracestate:
            headers[TRACESTATE] = trace.tracestate
    if BAGGAGE in propagates and (baggage := baggage_of(job.metadata)) is not None:
        headers[BAGGAGE] = baggage


def _put_forwarded(headers: dict[str, str], destination: Destination, target: Target, job: Job) -> None:
    caller = destination.facts.headers
    forwarded = job.forward_headers if job.forward_headers is not None else target.forward_headers
    for name in forwarded:
        if name not in caller or name in _NEVER_FORWARDED or name.startswith(wire.PREFIX):
            continue
        # No provider may see the caller's key to this gateway, whichever header it came in.
        if not holds_gateway_key(caller[name]):
            headers[name] = on_the_wire(caller[name])


def _translated_headers(destination: Destination, operation: Operation) -> dict[str, str]:
    provider, caller = destination.provider, destination.facts.headers
    headers = {"content-type": "application/json", **provider.default_headers, **dict(operation.headers)}
    for name in provider.caller_headers:
        value = caller.get(wire.PREFIX + name) or caller.get(name)
        if value:
            headers[name] = on_the_wire(value)
    if provider.headers is not None:
        headers.update(provider.headers(destination.facts))
    _put_saved(headers, destination)
    return headers


def _put_saved(headers: dict[str, str], destination: Destination) -> None:
    """Write the headers that the account says for the model."""
    row = destination.virtual_key
    if row is not None and row.model_settings:
        own = row.model_settings.get(destination.facts.model)
        headers.update(own.headers if own is not None else {})


def _raw_headers(destination: Destination, raw: Raw) -> dict[str, str]:
    facts = destination.facts
    headers = forward_headers(facts.headers, destination.provider, facts, None, streamed=raw.upload is not None)
    _put_saved(headers, destination)
    # The caller's own place in the trace is not this call's.
    for name in (TRACEPARENT, TRACESTATE, BAGGAGE):
        headers.pop(name, None)
    return headers


def _raw_body(destination: Destination, job: Job, raw: Raw) -> bytes | tuple[Part, ...]:
    """Return the body as it came, unless the target or a `@slug` in its model changes it."""
    body, row = destination.body, destination.virtual_key
    changed = {**body, "model": destination.facts.model} if body.get("model") is not None else body
    # Of a key that comes twice the gateway reads the last; where it says which models may be called, the provider
    # must read the same.
    checked = row is not None and row.limits_models
    if not raw.is_read or (body is job.body and changed == body and not checked):
        return raw.content if isinstance(raw.content, bytes) else (memoryview(raw.content),)
    return _written(changed)


def _written(body: Json) -> bytes | tuple[Part, ...]:
    """Return the JSON of `body`; raises InvalidJson for what can be read and not be written."""
    try:
        return write_members(body)
    except TypeError:
        raise InvalidJson("The request body is nested too deeply, or has a number too large.") from None


def _body_of(
    operation: Operation, destination: Destination, job: Job, headers: dict[str, str]
) -> bytes | tuple[Part, ...]:
    """Return the translated body; large members go out as they came where the provider takes them so.

    What is no JSON says in `headers` what it is.
    """
    body = destination.body
    encoded = operation.encode(body if operation.passes_through else unfolded(body), destination.facts)
    write = operation.write
    if write is None and ENDPOINTS[job.operation].takes_form and _has_file(encoded):
        write = _form
    if write is None:
        return _written(encoded)
    binary = write(encoded)
    headers["content-type"] = binary.content_type
    return binary.parts


def _has_file(body: Json) -> bool:
    values = (item for value in body.values() for item in (value if isinstance(value, list) else (value,)))
    return any(isinstance(value, FormFile) for value in values)


def _form(body: Json) -> Binary:
    try:
        return write_form(body, token_hex(24))
    except TypeError:
        raise BadRequest("A field of the form is neither a text nor JSON.", path="body") from None


def _raw_url(destination: Destination, operation: Operation | None, raw: Raw) -> str:
    if raw.target is None:
        assert operation is not None  # noqa: S101 -- only what is forwarded has none, and that has a target
        return operation.url_for(destination.base_url, destination.facts)
    path, _, query = raw.target.partition("?")
    url = forward_url(destination.base_url, path, query)
    place = destination.provider.forwarded
    return url if place is None else place(destination.base_url, url, destination.facts)


def _socket_url(url: str, operation: Operation, destination: Destination) -> str:
    asked = operation.encode(destination.body, destination.facts)
    assert isinstance(asked, dict)  # noqa: S101 -- parameters are no file, for the type checker
    return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}" if asked else url


def _method(operation: Operation | None, raw: Raw | None) -> str:
    if raw is not None:
        return raw.method
    return "GET" if operation is None or operation.is_socket else operation.method


def upstream_request(
    destination: Destination, target: Target, job: Job, trace: Trace, propagates: frozenset[str]
) -> UpstreamRequest:
    """Return the request of one attempt; raises GatewayError for what cannot be translated or sent on."""
    operation, facts, raw = destination.operation, destination.facts, job.raw
    if raw is not None:
        url, headers, body = (
            _raw_url(destination, operation, raw),
            _raw_headers(destination, raw),
            _raw_body(destination, job, raw),
        )
    else:
        assert operation is not None  # noqa: S101 -- only what is forwarded has none
        url, headers = operation.url_for(destination.base_url, facts), _translated_headers(destination, operation)
        if operation.is_socket:
            url, body = _socket_url(url, operation, destination), b""
        elif operation.method == "GET":
            body = b""
            del headers["content-type"]
        else:
            body = _body_of(operation, destination, job, headers)
    _put_trace(headers, job, trace, propagates)
    _put_forwarded(headers, destination, target, job)
    provider, key = destination.provider, destination.credential.key
    if key is not None and provider.sign is None:
        provider.authorise(key, headers)
    request = UpstreamRequest(
        url=url,
        headers=headers,
        body=body,
        stream=facts.stream,
        timeout_ms=job.timeout_ms if job.timeout_ms is not None else target.timeout_ms,
        method=_method(operation, raw),
        upload=None if raw is None else raw.upload,
    )
    if provider.sign is not None:
        provider.sign(request, key, facts)
    return request
