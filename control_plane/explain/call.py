"""About which call is asked?  The parameters of a question, read as gateways read a request that says the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import orjson
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from control_plane.catalog.access import with_access
from control_plane.catalog.allowed_models import models_for_gateways
from control_plane.catalog.models import CustomProvider, VirtualKey
from control_plane.configs.models import Config
from control_plane.configs.simulation import leaves, plan_of_row
from control_plane.core.errors import Invalid
from control_plane.core.principal import Principal
from control_plane.core.scopes import KEY_TYPES, ORGANISATION_KEY, scope_prefix
from control_plane.core.tenancy import by_id_or_slug, resolve_workspace, visible_to
from control_plane.keys.models import ApiKey
from control_plane.orgs.models import Organisation, Workspace
from shared.catalog.load import providers
from shared.crypto.tokens import parse_key
from shared.errors import BadRequest
from shared.ids import parse_uuid
from shared.metadata import merge_metadata
from shared.model_lists import is_listed
from shared.policies import Facts, PolicyCall, facts_of
from shared.routing.naming import name_provider, split_model
from shared.routing.plan import Target

Query = Mapping[str, str]
MAX_METADATA_CHARS: Final = 16 * 1024
MAX_NAME_CHARS: Final = 512
#: Without a target, the request itself names the provider.
_OF_REQUEST: Final = Target("config")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCall:
    """A call of `workspace` at the time `at`; `now` is when it was asked about.

    `provider` is the provider's id, "" when nothing names one; `model` is what the provider would get, `asked` what the
    caller would write.  `notes` say what was taken for granted.
    """

    organisation: Organisation
    workspace: Workspace
    at: datetime
    now: datetime
    api_key: ApiKey | None = None
    virtual_key: VirtualKey | None = None
    provider: str = ""
    model: str = ""
    asked: str = ""
    config: str = ""
    operation: str = "chat"
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def facts(self) -> Facts:
        """What policies may ask about the call."""
        return facts_of(
            PolicyCall(
                organisation=str(self.organisation.pk),
                workspace=str(self.workspace.pk),
                workspace_slug=self.workspace.slug,
                operation=self.operation,
                api_key=str(self.api_key.pk) if self.api_key else "",
                provider=self.provider,
                virtual_key=self.virtual_key.slug if self.virtual_key else "",
                config=self.config,
                sent=self.model,
                asked=self.asked,
                metadata=self.metadata,
            )
        )

    @property
    def refusals(self) -> list[str]:
        """Why the call would be refused whatever is left of any limit; by sentence, none when it would not."""
        found = []
        key, saved = self.api_key, self.virtual_key
        if key is not None and key.expires_at is not None and key.expires_at <= self.at:
            found.append(f"The API key {key.name} has expired by then.")
        slug = saved.slug if saved else None
        allowed = None if key is None or key.allowed_models is None else tuple(key.allowed_models)
        if key is not None and self.model and allowed is not None and not is_listed(allowed, self.model, slug):
            found.append(f"The model {self.model} is not allowed for the API key {key.name}.")
        if saved is not None:
            status = saved.status_at(self.at)
            if status != "active":
                found.append(f"The provider @{slug} is {status}.")
            if self.model and not _is_allowed(self.model, saved):
                found.append(f"The model {self.model} is not allowed at the provider @{slug}.")
        return found


def _is_allowed(model: str, saved: VirtualKey) -> bool:
    said = models_for_gateways(saved.integration)
    return model in said["models"] if "models" in said else model not in said["denied_models"]


def moment_of(given: str | None, now: datetime) -> datetime:
    """Return the moment that a question names, `now` when it names none; raises Invalid for what is no moment."""
    if not given:
        return now
    try:
        moment = parse_datetime(given)
    except ValueError:
        moment = None
    # Years at the ends of the calendar cannot be reckoned with.
    if moment is None or not 1970 < moment.year <= 2200:
        raise Invalid("at must be a moment such as 2030-01-31T12:00:00Z")
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)


def _find_key(principal: Principal, named: str | None) -> ApiKey | None:
    """Return the API key that a question names by id or by name, else the caller itself if it is a workspace's key."""
    rows = ApiKey.objects.select_related("workspace", "user")
    if not named:
        own = principal.kind == "api_key" and principal.key_type != ORGANISATION_KEY
        return visible_to(rows, principal).filter(pk=principal.id).first() if own else None
    if parse_key(named) is not None:
        raise Invalid("api_key: name the key by its id; what is in an address is written down in many places")
    row_id = parse_uuid(named)
    rows = _visible_keys(principal).filter(Q(pk=row_id) if row_id else Q(name=named))
    found = list(rows.select_related("workspace", "user")[:2])
    if len(found) > 1:
        raise Invalid("api_key: several keys have that name; name one by its id")
    if not found:
        raise Invalid("api_key: no such key")
    if found[0].workspace is None:
        raise Invalid("api_key: keys of the whole organisation are for the Admin API and make no calls")
    return found[0]


def _visible_keys(principal: Principal) -> QuerySet[ApiKey]:
    """Return the keys that the caller may list or read, and those that are the caller's own."""
    own = Q(pk=parse_uuid(principal.id)) if principal.kind == "api_key" else Q(user=principal.user_id)
    found = visible_to(ApiKey.objects.filter(own), principal)
    for key_type in KEY_TYPES:
        scopes = {f"{scope_prefix(key_type)}.{verb}" for verb in ("list", "read")}
        if any(principal.allows(scope) for scope in scopes):
            found |= visible_to(ApiKey.objects.filter(type=key_type), principal, scopes)
    return found


def _find_workspace(principal: Principal, key: ApiKey | None, named: str | None) -> Workspace:
    if key is None or key.workspace is None:
        found: Workspace = resolve_workspace(principal, named)
        return found
    if named and resolve_workspace(principal, named).pk != key.workspace_id:
        raise Invalid("workspace_id: the API key belongs to another workspace")
    return key.workspace


def _find_config(workspace: Workspace, key: ApiKey | None, named: str | None) -> Config | None:
    wanted = named or (key.defaults.get("config_id") if key else None)
    if not wanted:
        return None
    rows = Config.objects.select_related("active").filter(by_id_or_slug(wanted), workspace=workspace, status="active")
    found = rows.first()
    if found is None and named:
        raise Invalid("config: no such config in the workspace")
    return found


def _metadata(given: str | None, workspace: Workspace, key: ApiKey | None) -> dict[str, str]:
    if given:
        try:
            read = orjson.loads(given) if len(given) <= MAX_METADATA_CHARS else None
        except orjson.JSONDecodeError:
            read = None
        if not isinstance(read, dict):
            raise Invalid(f'metadata must be a JSON object of at most {MAX_METADATA_CHARS} characters: {{"team": "a"}}')
    return merge_metadata(
        sent=given,
        baggage=None,
        headers={},
        header_names=(),
        user=None,
        key=(key.defaults.get("metadata") or {}) if key else {},
        workspace=workspace.defaults.get("metadata") or {},
        key_user=key.user.email if key and key.user else None,
    )


@dataclass(frozen=True, slots=True)
class _Route:
    virtual_key: VirtualKey | None
    provider: str
    model: str
    notes: tuple[str, ...] = ()


def _targets(config: Config | None) -> list[Target]:
    if config is None:
        return [_OF_REQUEST]
    try:
        return list(leaves(plan_of_row(config).root)) or [_OF_REQUEST]
    except BadRequest:
        # One that an earlier version saved, and that is not served any more.
        raise Invalid("config: it is not valid, so gateways refuse it") from None


def _route(workspace: Workspace, config: Config | None, asked: str, provider: str | None) -> _Route:
    """Return where the call goes: what the question names, else the first target of the config."""
    targets = _targets(config)
    target = targets[0]
    model = str(target.override_params.get("model") or asked or target.default_params.get("model") or "")
    if provider:
        # The question is about this one, whatever else the config has.
        target = _OF_REQUEST
    named = name_provider(target, model=model, asked_model=asked, provider=provider, virtual_key=None)
    notes: tuple[str, ...] = ()
    if len(targets) > 1 and not provider:
        notes = ("The config has several targets; this is about the first. Ask about another by provider and model.",)
    bare = split_model(model)[1]
    if provider and named.virtual_key is None and named.provider and _saved(workspace, named.provider):
        named = named._replace(virtual_key=named.provider, provider=None)
    if named.virtual_key is not None:
        row = _saved(workspace, named.virtual_key)
        if row is None:
            raise Invalid(f"provider: the workspace has no provider @{named.virtual_key}")
        return _Route(row, row.integration.ai_provider_id, bare, notes)
    return _Route(None, _known(workspace, named.provider), bare, notes)


def _saved(workspace: Workspace, slug: str) -> VirtualKey | None:
    rows = with_access(VirtualKey.objects.select_related("integration", "integration__workspace"))
    return rows.filter(by_id_or_slug(slug), workspace=workspace).first()


def _known(workspace: Workspace, provider: str | None) -> str:
    if not provider:
        return ""
    custom = CustomProvider.objects.filter(organisation_id=workspace.organisation_id, slug=provider)
    if provider not in providers() and not custom.exists():
        raise Invalid("provider: no such provider in the workspace")
    return provider


def read_call(principal: Principal, query: Query) -> AskedCall:
    """Return the call that `query` asks about; raises Invalid for what is not there or not the caller's to ask about.

    Without an API key, the caller's own if it is a workspace's key; else the limits of a key and its user are left out.
    """
    now = timezone.now()
    if any("\x00" in value for value in query.values()):
        raise Invalid("The query holds a NUL character.")
    if any(
        len(query.get(name, "")) > MAX_NAME_CHARS for name in ("api_key", "model", "provider", "config", "endpoint")
    ):
        raise Invalid(f"Names have at most {MAX_NAME_CHARS} characters.")
    at = moment_of(query.get("at"), now)
    key = _find_key(principal, query.get("api_key"))
    workspace = _find_workspace(principal, key, query.get("workspace_id"))
    config = _find_config(workspace, key, query.get("config"))
    asked = query.get("model", "")
    route = _route(workspace, config, asked, query.get("provider"))
    return AskedCall(
        organisation=Organisation.objects.get(pk=workspace.organisation_id),
        workspace=workspace,
        at=at,
        now=now,
        api_key=key,
        virtual_key=route.virtual_key,
        provider=route.provider,
        model=route.model,
        asked=asked or route.model,
        config=config.slug if config else "",
        operation=query.get("endpoint") or "chat",
        metadata=_metadata(query.get("metadata"), workspace, key),
        notes=route.notes,
    )
