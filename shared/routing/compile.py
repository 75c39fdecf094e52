"""Config → plan: inheritance is resolved here, once, and nowhere on the request path.

Child wins over parent: `override_params`, `default_params` merge shallowly; `retry`, timeout, host, forwarded headers
and strictness are taken whole; credentials, provider, weight and name are never inherited (`contract.md` 1.3).
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeVar

from shared.errors import InvalidConfig
from shared.routing.plan import NO_RETRY, Conditional, Fallback, LoadBalance, Node, Plan, Target
from shared.schema.config import Config, Retry
from shared.schema.params import ParamPath
from shared.schema.strategy import BreakerPolicy, Strategy

T = TypeVar("T")


class _Inherited(NamedTuple):
    """What a level passes on to the levels below it."""

    override_params: Mapping[str, Any] = {}
    default_params: Mapping[str, Any] = {}
    drop_params: tuple[ParamPath, ...] | None = None
    retry: Retry | None = None
    request_timeout: int | None = None
    custom_host: str | None = None
    forward_headers: tuple[str, ...] | None = None
    strict: bool | None = None


_NOTHING: Final = _Inherited()


def _first(child: T | None, parent: T | None) -> T | None:
    return parent if child is None else child


def _merged(child: Mapping[str, Any] | None, parent: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**parent, **child} if child else parent


def _inherit(child: Config, parent: _Inherited) -> _Inherited:
    return _Inherited(
        _merged(child.override_params, parent.override_params),
        _merged(child.default_params, parent.default_params),
        _first(child.drop_params, parent.drop_params),
        _first(child.retry, parent.retry),
        _first(child.request_timeout, parent.request_timeout),
        _first(child.custom_host, parent.custom_host),
        _first(child.forward_headers, parent.forward_headers),
        _first(child.strict_open_ai_compliance, parent.strict),
    )


def _leaf(config: Config, said: _Inherited, path: str, breaker: BreakerPolicy | None, key: str) -> Target:
    return Target(
        path=path,
        provider=config.provider,
        virtual_key=config.virtual_key,
        api_key=config.api_key,
        custom_host=said.custom_host,
        override_params=said.override_params,
        default_params=said.default_params,
        drop_params=said.drop_params or (),
        retry=said.retry or NO_RETRY,
        timeout_ms=said.request_timeout,
        forward_headers=said.forward_headers or (),
        strict=said.strict,
        passthrough=config.passthrough,
        name=config.name,
        settings=config.settings,
        breaker=breaker,
        breaker_id=f"{key}|{path}" if breaker else "",
    )


def _refuse_unbuilt(config: Config, path: str) -> None:
    unbuilt = config.unbuilt()
    if unbuilt:
        raise InvalidConfig(
            f"Invalid config passed: '{unbuilt[0]}' is not available in this version of the gateway",
            errors=[f"path: {path}, message: '{key}' is not available yet" for key in unbuilt],
        )


def _is_guarded(nodes: tuple[Node, ...]) -> bool:
    """Return whether a circuit breaker below could leave one of `nodes` out; conditions are never overridden by one."""
    return any(
        node.breaker is not None if isinstance(node, Target) else not isinstance(node, Conditional) and node.guarded
        for node in nodes
    )


def _conditional(config: Config, strategy: Strategy, children: tuple[Node, ...], path: str) -> Conditional:
    by_name: dict[str | None, Node] = {}
    for target, node in zip(config.targets, children, strict=True):
        by_name.setdefault(target.name, node)
    arms = tuple((condition, by_name[condition.then]) for condition in strategy.conditions)
    return Conditional(path, arms, by_name[strategy.default] if strategy.default is not None else None)


def _weights(config: Config, path: str) -> tuple[float, ...]:
    weights = tuple(child.weight for child in config.targets)
    if sum(weights) <= 0:
        raise InvalidConfig(
            "Invalid config passed: all weights are 0, so no target can be chosen",
            errors=[f"path: {path}, message: at least one weight must be greater than 0"],
        )
    return weights


def _node(config: Config, parent: _Inherited, path: str, breaker: BreakerPolicy | None, key: str) -> Node:
    """Compile one level; `breaker` is what the strategy above says of its targets."""
    said = _inherit(config, parent)
    _refuse_unbuilt(config, path)
    breaker = config.cb_config or breaker
    if not config.targets:
        return _leaf(config, said, path, breaker, key)
    strategy = config.strategy or Strategy("single")
    breaker = strategy.breaker or breaker
    if strategy.mode == "single":
        return _node(config.targets[0], said, f"{path}.targets[0]", breaker, key)
    below = None if strategy.mode == "conditional" else breaker
    children = tuple(
        _node(child, said, f"{path}.targets[{index}]", below, key) for index, child in enumerate(config.targets)
    )
    if strategy.mode == "conditional":
        return _conditional(config, strategy, children, path)
    guarded = _is_guarded(children)
    if strategy.mode == "fallback":
        return Fallback(path, children, strategy.on_status_codes, guarded)
    weights = _weights(config, path)
    sums = tuple(accumulate(weights))
    return LoadBalance(path, children, weights, sums, guarded, strategy.sticky, f"{key}|{path}")


def compile_plan(config: Config, *, slug: str | None = None, version: str | None = None, key: str = "") -> Plan:
    """Return the plan of `config`; raises InvalidConfig for what parses but cannot be run.

    `key` tells this config from all others in what outlives a request: breakers and sticky choices.
    """
    mode = config.strategy.mode if config.strategy else "single"
    return Plan(_node(config, _NOTHING, "config", None, key), mode, slug, version)
