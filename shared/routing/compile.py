"""Config → plan: inheritance is resolved here, once, and nowhere on the request path.

Child wins over parent: `override_params`, `default_params` merge shallowly; `retry`, timeout, host, forwarded headers
and strictness are taken whole; credentials, provider, weight and name are never inherited (`contract.md` 1.3).
"""

from dataclasses import replace
from typing import Final, TypeVar

from shared.errors import InvalidConfig
from shared.routing.plan import NO_RETRY, Fallback, LoadBalance, Node, Plan, Target
from shared.schema.config import Config

T = TypeVar("T")

_NOTHING: Final = Config()


def _first(child: T | None, parent: T | None) -> T | None:
    return parent if child is None else child


def _inherit(child: Config, parent: Config) -> Config:
    return replace(
        child,
        override_params={**(parent.override_params or {}), **(child.override_params or {})},
        default_params={**(parent.default_params or {}), **(child.default_params or {})},
        drop_params=_first(child.drop_params, parent.drop_params),
        retry=_first(child.retry, parent.retry),
        request_timeout=_first(child.request_timeout, parent.request_timeout),
        custom_host=_first(child.custom_host, parent.custom_host),
        forward_headers=_first(child.forward_headers, parent.forward_headers),
        strict_open_ai_compliance=_first(child.strict_open_ai_compliance, parent.strict_open_ai_compliance),
    )


def _leaf(config: Config, path: str) -> Target:
    return Target(
        path=path,
        provider=config.provider,
        virtual_key=config.virtual_key,
        api_key=config.api_key,
        custom_host=config.custom_host,
        override_params=config.override_params or {},
        default_params=config.default_params or {},
        drop_params=config.drop_params or (),
        retry=config.retry or NO_RETRY,
        timeout_ms=config.request_timeout,
        forward_headers=config.forward_headers or (),
        strict=config.strict_open_ai_compliance,
        passthrough=config.passthrough,
        name=config.name,
        settings=config.settings,
    )


def _node(config: Config, parent: Config, path: str) -> Node:
    config = _inherit(config, parent)
    if config.unbuilt:
        raise InvalidConfig(
            f"Invalid config passed: '{config.unbuilt[0]}' is not available in this version of the gateway",
            errors=[f"path: {path}, message: '{key}' is not available yet" for key in config.unbuilt],
        )
    if not config.targets:
        return _leaf(config, path)
    mode = config.strategy.mode if config.strategy else "single"
    if mode == "single":
        return _node(config.targets[0], config, f"{path}.targets[0]")
    children = tuple(_node(child, config, f"{path}.targets[{index}]") for index, child in enumerate(config.targets))
    if mode == "fallback" and config.strategy:
        return Fallback(path, children, config.strategy.on_status_codes)
    if mode == "loadbalance":
        weights = tuple(child.weight for child in config.targets)
        if sum(weights) <= 0:
            raise InvalidConfig(
                "Invalid config passed: all weights are 0, so no target can be chosen",
                errors=[f"path: {path}, message: at least one weight must be greater than 0"],
            )
        return LoadBalance(path, children, weights)
    raise InvalidConfig(
        f"Invalid config passed: strategy mode '{mode}' is not available in this version of the gateway",
        errors=[f"path: {path}, message: mode '{mode}' is not available yet"],
    )


def compile_plan(config: Config, *, slug: str | None = None, version: str | None = None) -> Plan:
    """Return the plan of `config`; raises InvalidConfig for what parses but cannot be run."""
    mode = config.strategy.mode if config.strategy else "single"
    return Plan(_node(config, _NOTHING, "config"), mode, slug, version)
