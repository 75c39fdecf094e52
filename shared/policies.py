"""Does a policy hold for this call, and whose counter is it?  Facts are by key, each in all the forms that it has.

All conditions must match, one of a condition's values suffices, and none of what it excludes may be there.  A call that
lacks what a condition is about is not meant.  Source: `contract.md` 6.5.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.schema.limits import ConditionRow, RatePolicyRow, UsagePolicyRow

Facts = Mapping[str, tuple[str, ...]]
Policy = RatePolicyRow | UsagePolicyRow

ANY: Final = "*"
#: A longer name of a counter ends with its digest.
MAX_VALUE_KEY_CHARS: Final = 512
#: What is known only when a provider has been chosen, and may be another for the next attempt.
OF_ROUTE: Final = frozenset({"virtual_key", "provider", "model"})
#: What Portkey's policies call an operation, where it is not by our word for it.
TYPES: Final[Mapping[str, str]] = {
    "chat": "chatComplete", "image": "imageGenerate", "edit_image": "imageEdit", "vary_image": "createImageVariation",
    "speech": "createSpeech", "transcribe": "createTranscription", "translate": "createTranslation",
    "responses": "createModelResponse",
}  # fmt: skip
#: Of a condition with more values, the first are told.
_TOLD: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCall:
    """What policies may ask about a call; what it does not have is empty.

    `provider` is the provider's id, `virtual_key` and `config` are slugs; `sent` is the model as its provider gets it,
    `asked` as the caller wrote it.
    """

    organisation: str
    workspace: str
    workspace_slug: str
    operation: str
    api_key: str = ""
    provider: str = ""
    virtual_key: str = ""
    config: str = ""
    sent: str = ""
    asked: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def facts_of(call: PolicyCall) -> Facts:
    """Return what policies may ask about a call, each in all its forms."""
    slug = call.virtual_key
    named = (slug, f"@{slug}") if slug else ()
    models = (call.sent, call.asked, f"@{slug}/{call.sent}" if slug else "")
    facts: dict[str, tuple[str, ...]] = {
        "api_key": (call.api_key,) if call.api_key else (),
        "workspace_id": (call.workspace, call.workspace_slug),
        "organisation_id": (call.organisation,),
        "virtual_key": named,
        "provider": (call.provider, *named) if call.provider else named,
        "config": (call.config,) if call.config else (),
        "model": tuple(each for each in models if each),
        "endpoint_type": (TYPES.get(call.operation, call.operation), call.operation),
    }
    return facts | {f"metadata.{name}": (value,) for name, value in call.metadata.items()}


def _is_one(forms: tuple[str, ...], values: tuple[str, ...]) -> bool:
    for value in values:
        if value == ANY or value in forms:
            return True
        if value.endswith("/*") and any(form.startswith(value[:-1]) for form in forms):
            return True
    return False


def _holds(condition: ConditionRow, facts: Facts) -> bool:
    forms = facts.get(condition.key, ())
    if not forms or not _is_one(forms, condition.values):
        return False
    return not condition.excludes or not _is_one(forms, condition.excludes)


def matches(policy: Policy, facts: Facts) -> bool:
    """Return whether a policy holds for a call with these facts."""
    return all(_holds(condition, facts) for condition in policy.conditions)


def why_not(policy: Policy, facts: Facts) -> str | None:
    """Return the first condition of a policy that a call does not meet, as a sentence; None when it holds for it."""
    for condition in policy.conditions:
        if not _holds(condition, facts):
            return _unmet(condition, facts.get(condition.key, ()))
    return None


def _unmet(condition: ConditionRow, forms: tuple[str, ...]) -> str:
    if not forms:
        return f"the call has no {condition.key}"
    said = f"{condition.key} is {forms[0]}, "
    if _is_one(forms, condition.values):
        return f"{said}which the policy excludes"
    more = ", …" if len(condition.values) > _TOLD else ""
    return f"{said}and the policy is for {', '.join(condition.values[:_TOLD])}{more}"


def value_key(policy: Policy, facts: Facts) -> str:
    """Return whose counter a call belongs to, such as `metadata._user:alice`; of several keys, joined by `|`."""
    named = "|".join(f"{key}:{(facts.get(key) or ('',))[0]}" for key in policy.group_by)
    if len(named) <= MAX_VALUE_KEY_CHARS:
        return named
    digest = hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{named[: MAX_VALUE_KEY_CHARS - len(digest) - 1]}~{digest}"


def is_about_route(policy: Policy) -> bool:
    """Return whether another provider may lie outside of the policy, or in another counter of it."""
    named = {condition.key for condition in policy.conditions} | set(policy.group_by)
    return not named.isdisjoint(OF_ROUTE)
