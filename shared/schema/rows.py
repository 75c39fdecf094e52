"""The rows of a bundle's sections: what a gateway needs to know of each object, and no more.

The control plane writes them (`export.py` of each app), the gateway reads them.  Fields may be added with a
default; a field is never renamed or given a new meaning, because gateways two releases old read these rows too.
Row ids: organisations, workspaces, API keys and secrets by UUID; what callers name by slug, by
`<workspace uuid>/<slug>`, so that one workspace can never reach another's objects; `uid` is then the object's UUID.
"""

from typing import Any, Literal

import msgspec

from shared.schema.limits import BudgetRow, RateRow, UnpricedRule

PayloadPolicy = Literal["full", "metrics", "gateway"]

#: Section names in the order in which they are rendered and validated.
SECTIONS = (
    "orgs", "workspaces", "token_keys", "api_keys", "rate_policies", "usage_policies", "custom_providers",
    "virtual_keys", "secrets", "configs", "prices", "integration_prices", "gateway",
)  # fmt: skip


class OrgRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An organisation: `block_inline` is saved-only mode (`contract.md` 1.8).

    `assumed_output`: so many tokens are set aside for the answer to a call under a budget that names no most.
    """

    id: str
    name: str
    block_inline: bool = True
    rates: tuple[RateRow, ...] = ()
    budgets: tuple[BudgetRow, ...] = ()
    unpriced: UnpricedRule = UnpricedRule()
    assumed_output: int = 4096


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
    rates: tuple[RateRow, ...] = ()
    budgets: tuple[BudgetRow, ...] = ()


class ApiKeyRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An API key for inference: only hashes of its secrets (two during a rotation), hex SHA-256.

    `budgets` are its own, and its user's.  `expires` is Unix seconds.
    `config` is the slug of the key's default config.  `ips` are the networks from which the
    key may be used, and `models` the models that it may ask for (`shared/model_lists.py`); None: all.
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
    ips: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    rates: tuple[RateRow, ...] = ()
    budgets: tuple[BudgetRow, ...] = ()


class TokenKey(msgspec.Struct, frozen=True):
    """One RSA public key: modulus and exponent as a JSON Web Key writes them (base64url)."""

    kid: str
    n: str
    e: str


class TokenKeysRow(msgspec.Struct, frozen=True, eq=False):
    """The keys with which an organisation signs tokens (JWT) that stand for API keys; row id is the organisation's.

    A row is compared by identity: what was verified by a row holds as long as that row is the one in use.
    """

    id: str
    keys: tuple[TokenKey, ...]


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


class DeploymentRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of an Azure account's deployments; `names` are the models by which requests mean it.

    `is_default`: requests for any other model mean it too; an account with deployments has one such.
    """

    deployment: str
    api_version: str = ""
    names: tuple[str, ...] = ()
    is_default: bool = False


class ModelSettingsRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model of an account has of its own: another base URL, and headers (lower case) of its requests."""

    custom_host: str | None = None
    headers: dict[str, str] = {}


class SecretMappingRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field of an account whose value is in a secret manager: `target` is `key` or `configurations.<setting>`.

    `reference` is the id of the secret reference, `secret_key` what of the secret is meant, if not what the reference
    says.  `is_json`: the value is JSON.
    """

    target: str
    reference: str
    secret_key: str | None = None
    is_json: bool = False


class VirtualKeyRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A virtual key (saved provider): which provider, with which secret, at which host.

    `secret` is the id of a row in `secrets`, None for a provider without a key.  `settings` are the provider's
    further fields, none of them secret.  `models` is an allow-list; None allows all but `denied_models`.
    `model_settings` are by model.  With `secret_mappings` the credential is not whole without what they name.
    `rates` are its own, `account_rates` those of its integration in its workspace, whichever virtual key is used, and
    `integration_rates` those of the integration wherever it is used; `budgets` are of all three.
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
    denied_models: frozenset[str] = frozenset()
    model_settings: dict[str, ModelSettingsRow] = {}
    deployments: tuple[DeploymentRow, ...] = ()
    secret_mappings: tuple[SecretMappingRow, ...] = ()
    rates: tuple[RateRow, ...] = ()
    account_rates: tuple[RateRow, ...] = ()
    integration_rates: tuple[RateRow, ...] = ()
    budgets: tuple[BudgetRow, ...] = ()

    @property
    def limits_models(self) -> bool:
        """Whether there are models that requests may not ask for."""
        return self.models is not None or bool(self.denied_models)


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


class UnitRate(msgspec.Struct, frozen=True, array_like=True):
    """A price of what is not counted in tokens: `nano` nano-dollars for `per` units; a call pays for `least` or more.

    Units are those of a record (`LogRecord.units`): `images`, `audio_ms`, `characters`, `searches`, `web_searches`,
    `file_searches`.
    """

    nano: int
    per: int = 1
    least: int = 0


class PriceChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prices of a model that hold at some times, or at one service tier, in place of its row's own.

    `tier` "": for calls at the usual tier, and then these are all the prices that there are; else those that differ at
    that tier.  `from_s`: since then (Unix seconds); `hours`: only between these seconds of a UTC day, which may be
    around midnight.  Of the usual tier the last one that holds counts, of another tier the first that has a price.
    """

    tier: str = ""
    from_s: int = 0
    hours: tuple[int, int] | None = None
    rates: dict[str, tuple[Rate, ...]] = {}
    units: dict[str, UnitRate] = {}


class ModelPriceRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model's prices; each list is sorted by `above`, begins at 0, and is empty when there is no such price.

    `match` says which model names it covers: `["equals"|"starts_with"|"ends_with"|"contains"|"regex", text]`,
    or `["or"|"and", [match, …]]`.  `cache_write_1h` and `cache_read_audio` are parts of what is written to and read
    from a cache.
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
    cache_write_1h: tuple[Rate, ...] = ()
    cache_read_audio: tuple[Rate, ...] = ()
    image_input: tuple[Rate, ...] = ()
    image_output: tuple[Rate, ...] = ()
    units: dict[str, UnitRate] = {}
    changes: tuple[PriceChange, ...] = ()


class ProviderPricesRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """The price list of one provider; `id` is the provider's name in the list, `source` names list and version.

    `fallback` names other providers whose models this one resells at their prices.
    """

    id: str
    source: str
    models: tuple[ModelPriceRow, ...]
    fallback: tuple[str, ...] = ()


class OwnPrices(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model of an integration costs from a moment on (Unix microseconds).

    `rates` are nano-dollars per million tokens, by the names of `ModelPriceRow`; None: as the price list says, again.
    """

    from_us: int
    rates: dict[str, int] | None = None
    units: dict[str, UnitRate] = {}


class Multipliers(msgspec.Struct, frozen=True, omit_defaults=True):
    """What list prices of an integration are multiplied by from a moment on (Unix microseconds).

    `factors` are decimal numbers, by the names of `ModelPriceRow`, by units, and `default` for all others.
    """

    from_us: int
    factors: dict[str, str] = {}


class IntegrationPricesRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an integration pays in place of list prices; row id is the integration's.

    Each list is sorted by time: the last that has begun holds.
    """

    id: str
    org: str
    slug: str
    models: dict[str, tuple[OwnPrices, ...]] = {}
    multipliers: tuple[Multipliers, ...] = ()
