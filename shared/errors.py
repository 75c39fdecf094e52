"""Errors that callers see, and their one JSON shape.

    GatewayError
    ├── BadRequest 400 ── InvalidJson, InvalidConfig, InlineBlocked, Unsupported, HostRefused
    ├── Unauthenticated 401
    ├── Forbidden 403
    ├── NotFound 404
    ├── BodyTooLarge 413
    ├── BudgetExceeded 412 ── ProviderBudgetExceeded
    ├── RateLimited 429 ── ProviderRateLimited
    ├── UpstreamTimeout 408
    ├── UpstreamUnreachable 502, UpstreamInvalid 502, UpstreamBroken 502, ConnectTimeout 503
    └── Unavailable 503 ── NotReady, Quarantined, BudgetUnavailable, SecretUnresolved, Draining

Status and code belong to the class, the sentence to the instance.  A sentence never holds a secret, an internal
address or a stack trace.
"""

import math
from decimal import Decimal
from typing import Any, ClassVar, Final

from shared.money import NANO

Json = dict[str, Any]


class GatewayError(Exception):
    """A refusal or failure that the gateway itself answers.

    `final` errors are not tried again on another target: the request itself is at fault.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    final: ClassVar[bool] = True

    def __init__(self, message: str, *, path: str | None = None, errors: list[str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.errors = errors

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the answer."""
        return {}

    def body(self) -> Json:
        """Return the JSON body: the contract's `status`/`message`, and OpenAI's `error` for its SDKs."""
        answer: Json = {
            "status": "failure",
            "message": self.message,
            "error": {"message": self.message, "type": self.code, "param": self.path, "code": self.code},
        }
        if self.errors:
            answer["errors"] = self.errors
        return answer


class BadRequest(GatewayError):
    """The request cannot be served as it is."""

    status = 400
    code = "invalid_request"


class InvalidJson(BadRequest):
    """The body is not the JSON that the endpoint needs."""

    code = "invalid_json"


class InvalidConfig(BadRequest):
    """The config is not valid; `errors` lists every fault with its path."""

    code = "invalid_config"


class InlineBlocked(BadRequest):
    """The organisation allows saved objects only; `code` on the wire says what was sent inline."""

    code = "inline_blocked"

    def __init__(self, kind: str, field: str) -> None:
        super().__init__(f"This organisation accepts saved objects only: {field} may not be sent inline.")
        self.kind = kind
        self.field = field

    def body(self) -> Json:
        """Return the body of saved-only violations (`contract.md` 1.8 shape: code, message, field)."""
        fault = {"code": self.kind, "message": self.message, "field": self.field, "type": self.kind}
        return {"status": "failure", "error": fault, "message": self.message}


class Unsupported(BadRequest):
    """The provider has no such endpoint or feature; names both."""

    code = "unsupported"
    final = False


class HostRefused(BadRequest):
    """The provider's host leads to an address that must not be reached; another target may have a better one."""

    code = "invalid_custom_host"
    final = False


class Unauthenticated(GatewayError):
    """No valid API key was presented."""

    status = 401
    code = "invalid_api_key"


class Forbidden(GatewayError):
    """The key is valid but may not do this."""

    status = 403
    code = "forbidden"


class NotFound(GatewayError):
    """No such route or object."""

    status = 404
    code = "not_found"


class BodyTooLarge(GatewayError):
    """The body is over the gateway's limit."""

    status = 413
    code = "body_too_large"


class RateLimited(GatewayError):
    """More requests or tokens than a limit of the caller's allows; `reset_s` is when the window ends, from now."""

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, path: str, kind: str, limit: int, remaining: int, reset_s: float) -> None:
        super().__init__(message, path=path)
        self.kind = kind
        self.limit = limit
        self.remaining = remaining
        self.reset_s = reset_s

    def headers(self) -> dict[str, str]:
        """Return when to come back, and the limit, as OpenAI's answers tell theirs."""
        return {
            "retry-after": str(max(1, math.ceil(self.reset_s))),
            f"x-ratelimit-limit-{self.kind}": str(self.limit),
            f"x-ratelimit-remaining-{self.kind}": str(self.remaining),
            f"x-ratelimit-reset-{self.kind}": f"{self.reset_s:.3f}s",
        }


class ProviderRateLimited(RateLimited):
    """More than a limit of a provider's account allows: another target may answer."""

    final = False


class BudgetExceeded(GatewayError):
    """A budget of the caller's has not enough left for what this call may take.

    `kind` says whose it is; `limit`, `left` and `need` are nano-dollars when `unit` is cost, else tokens or requests.
    """

    status = 412
    code = "budget_exceeded"

    def __init__(self, owner: str, *, kind: str, unit: str, limit: int, left: int, need: int) -> None:
        super().__init__(_exhausted(owner, unit, limit=limit, left=left, need=need), path=kind)
        self.kind = kind

    def body(self) -> Json:
        """Return the JSON body; `type` names the kind of budget as Portkey's does, and its code of budgets is 04."""
        answer = super().body()
        answer["error"]["type"] = _EXHAUST_TYPES.get(self.kind, f"{self.kind}_exhaust_error")
        answer["error"]["code"] = "04"
        return answer


#: What Portkey calls it when one of these is used up, where it is not by our word for it.
_EXHAUST_TYPES: Final = {
    "policy": "usage_limits_policy_exhaust_error",
    "integration_workspace": "integration_exhaust_error",
}


def _said(unit: str, amount: int) -> str:
    return f"${Decimal(amount) / NANO:,.6f}".rstrip("0").rstrip(".") if unit == "cost" else f"{amount} {unit}"


def _exhausted(owner: str, unit: str, *, limit: int, left: int, need: int) -> str:
    told = f"Portkey Error: Usage limit exceeded: {owner} allows {_said(unit, limit)}"
    if left <= 0:
        return f"{told}, all of which is used."
    return (
        f"{told}, {_said(unit, left)} are left, and this request may take up to {_said(unit, need)} beside others on"
        " their way."
    )


class ProviderBudgetExceeded(BudgetExceeded):
    """A budget of a provider's account has not enough left: another target may answer."""

    final = False


class UnpricedRefused(GatewayError):
    """Nobody knows what the call costs, and the organisation allows none of these under a budget."""

    status = 412
    code = "unpriced_model"
    final = False


class UpstreamTimeout(GatewayError):
    """The provider did not answer within the target's `request_timeout`."""

    status = 408
    code = "upstream_timeout"
    final = False

    def __init__(self, timeout_ms: int) -> None:
        super().__init__(f"Request exceeded the timeout sent in the request: {timeout_ms}ms")

    def body(self) -> Json:
        """Return exactly the contract's timeout body, which clients match on."""
        return {"error": {"message": self.message, "type": "timeout_error", "param": None, "code": None}}


class UpstreamUnreachable(GatewayError):
    """No connection to the provider could be made."""

    status = 502
    code = "upstream_unreachable"
    final = False


class ConnectTimeout(UpstreamUnreachable):
    """The provider did not take up the connection in time."""

    status = 503
    code = "upstream_connect_timeout"


class UpstreamInvalid(GatewayError):
    """The provider's answer cannot be understood."""

    status = 502
    code = "upstream_invalid"
    final = False


class UpstreamBroken(GatewayError):
    """The provider's answer broke off before its end."""

    status = 502
    code = "upstream_broken"
    final = False


class Unavailable(GatewayError):
    """The gateway cannot serve this now."""

    status = 503
    code = "unavailable"


class NotReady(Unavailable):
    """No configuration is active yet."""

    code = "not_ready"


class Quarantined(Unavailable):
    """The configuration row that this request needs was refused by the gateway."""

    code = "config_quarantined"


class BudgetUnavailable(Unavailable):
    """Whether a budget has enough left cannot be told now; what cannot be told is refused."""

    code = "budget_unavailable"

    def headers(self) -> dict[str, str]:
        """Return when to come back."""
        return {"retry-after": "2"}


class SecretUnresolved(Unavailable):
    """The credential is kept in a secret manager and could not be had from there; another target may have its own."""

    code = "secret_unresolved"
    final = False
