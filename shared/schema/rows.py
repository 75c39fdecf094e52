"""The rows of a bundle's sections: what a gateway needs to know of each object, and no more.

The control plane writes them (`export.py` of each app), the gateway reads them.  Fields may be added with a
default; a field is never renamed or given a new meaning, because gateways two releases old read these rows too.
Row ids: organisations, workspaces, API keys and secrets by UUID; what callers name by slug, by
`<workspace uuid>/<slug>`, so that one workspace can never reach another's objects; `uid` is then the object's UUID.
"""

from typing import Any, Literal

import msgspec

PayloadPolicy = Literal["full", "metrics", "gateway"]

#: Section names in the order in which they are rendered and validated.
SECTIONS = (
    "orgs", "workspaces", "api_keys", "custom_providers", "virtual_keys", "secrets", "configs", "prices", "gateway",
)  # fmt: skip


class OrgRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An organisation: `block_inline` is saved-only mode (`contract.md` 1.8)."""

    id: str
    name: str
    block_inline: bool = True


class WorkspaceRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workspace; `payload` says what becomes of request and answer bodies.

    `full`: shipped with the record; `metrics`: never kept; `gateway`: kept in the gateway's own store.
    """

    id: str
    org: str
    slug: str
    name: str
    payload: PayloadPolicy = "full"
    metadata: dict[str, str] = {}


class ApiKeyRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An API key for inference: only hashes of its secrets (two during a rotation), hex SHA-256.

    `expires` is Unix seconds.  `config` is the slug of the key's default config.
    """

    id: str
    org: str
    ws: str
    hashes: tuple[str, ...]
    scopes: frozenset[str] = frozenset()
    name: str = ""
    user: str | None = None
    expires: float | None = None
    config: str | None = None
    allow_config_override: bool = True
    metadata: dict[str, str] = {}


class AuthRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a custom provider takes its credential: in the header `header` (lower case), behind `prefix`."""

    header: str = "authorization"
    prefix: str = "Bearer "


class ParameterMap(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a request in OpenAI's words differs from what a custom provider takes; all names are top-level and OpenAI's.

    `refuse`: a request with one is answered with 400; `drop`: left out; `defaults`: put in where the request says
    nothing; `rename`: sent under another name.  They are applied in this order.
    """

    rename: dict[str, str] = {}
    drop: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    refuse: tuple[str, ...] = ()


class EndpointRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation of a custom provider; None: the usual path, and the parameters of the provider as a whole."""

    path: str | None = None
    parameters: ParameterMap | None = None


class CustomProviderRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A provider that an organisation added: a host that speaks OpenAI's API, in its own dialect of it.

    Row id `<organisation uuid>/<slug>`; a provider of the release with the id `slug` comes before it.  `auth` None: it
    takes no credential.  `endpoints` are by operation; a gateway leaves out those that it does not know.
    `streams_usage`: it understands `stream_options.include_usage`.  `price_source` names its price list.
    """

    id: str
    org: str
    slug: str
    base_url: str
    name: str = ""
    auth: AuthRow | None = AuthRow()
    headers: dict[str, str] = {}
    endpoints: dict[str, EndpointRow] = {}
    parameters: ParameterMap = ParameterMap()
    streams_usage: bool = True
    price_source: str | None = None
    uid: str = ""


class VirtualKeyRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A virtual key (saved provider): which provider, with which secret, at which host.

    `secret` is the id of a row in `secrets`, None for a provider without a key.  `settings` are the provider's
    further fields, none of them secret.  `models` is an allow-list; None allows all.
    """

    id: str
    org: str
    ws: str
    slug: str
    provider: str
    integration: str
    uid: str = ""
    secret: str | None = None
    custom_host: str | None = None
    settings: dict[str, str] = {}
    models: frozenset[str] | None = None
    expires: float | None = None


class SecretRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A provider credential, sealed to the gateway group's key `kid`; `sealed` is base64 of the HPKE ciphertext."""

    id: str
    org: str
    version: int
    kid: str
    sealed: str


class ConfigRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """The active version of a config; `body` is the config language of `schema/config.py`."""

    id: str
    org: str
    ws: str
    slug: str
    version: str
    body: dict[str, Any]
    uid: str = ""


class GatewayPolicyRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the gateways of the group themselves behave; one row, id `policy`."""

    id: str
    kill_streams_on_revoke: bool = True


class SealedPlaintext(msgspec.Struct, frozen=True):
    """What is inside a sealed secret: the key, and the only hosts that it may be sent to.

    `settings` are the account's further secrets by name, such as `aws_secret_access_key`; `key` may then be empty.
    """

    key: str
    hosts: tuple[str, ...]
    settings: dict[str, str] = {}


class Rate(msgspec.Struct, frozen=True, array_like=True):
    """A price above a number of input tokens: nano-dollars per million tokens, for all tokens of the call."""

    above: int
    nano_per_mtok: int


class ModelPriceRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model's prices; each list is sorted by `above`, begins at 0, and is empty when there is no such price.

    `match` says which model names it covers: `["equals"|"starts_with"|"ends_with"|"contains"|"regex", text]`,
    or `["or"|"and", [match, …]]`.
    """

    id: str
    match: list[Any]
    input: tuple[Rate, ...] = ()
    output: tuple[Rate, ...] = ()
    cache_read: tuple[Rate, ...] = ()
    cache_write: tuple[Rate, ...] = ()
    reasoning: tuple[Rate, ...] = ()
    audio_input: tuple[Rate, ...] = ()
    audio_output: tuple[Rate, ...] = ()
    free: bool = False


class ProviderPricesRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """The price list of one provider; `id` is the provider's name in the list, `source` names list and version.

    `fallback` names other providers whose models this one resells at their prices.
    """

    id: str
    source: str
    models: tuple[ModelPriceRow, ...]
    fallback: tuple[str, ...] = ()
