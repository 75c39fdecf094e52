"""Who names the provider of an attempt: the target, the request's headers, or the model in the body?

In this order: the model that the target forces (`@slug/model`), the target itself, the request's headers, the model in
the body.  A root target without a strategy leaves room for the request's own choice: there the body's `@slug` wins.
A target with `passthrough` takes the request's headers, then the body's `@slug`, and only then what it says itself.
"""

from typing import Final, NamedTuple

from shared.routing.plan import Target

BY_HEADERS: Final = "the request's headers"


class Named(NamedTuple):
    """A provider as it was named: a virtual key's slug or a provider's id, one of them at most; and by what."""

    virtual_key: str | None
    provider: str | None
    why: str


def split_model(model: str) -> tuple[str | None, str]:
    """Return the slug and the rest of `@slug/model`; (None, model) when it has no slug."""
    slug, _, rest = model[1:].partition("/")
    return (slug, rest) if slug and model.startswith("@") else (None, model)


def name_provider(
    target: Target, *, model: str, asked_model: str, provider: str | None, virtual_key: str | None
) -> Named:
    """Return who names the provider of an attempt on `target`.

    `model` is the body's after the target's changes, `asked_model` the caller's own; `provider` and `virtual_key` are
    the request's headers.
    """
    slug, _ = split_model(model)
    forced = "model" in target.override_params
    if slug is not None and forced:
        return Named(slug, None, "override_params.model of the target")
    if slug is not None and target.path == "config" and not target.passthrough:
        return Named(slug, None, "the model in the request")
    names: list[tuple[str | None, str | None, str]] = [
        (target.virtual_key, target.provider, "the target"),
        (virtual_key, provider, BY_HEADERS),
    ]
    if target.passthrough:
        names.reverse()
        if slug is not None and not (virtual_key or provider):
            return Named(slug, None, "the model in the request")
    for saved, named, why in names:
        if saved:
            return Named(saved.removeprefix("@"), None, why)
        if named:
            at = named.startswith("@")
            return Named(named[1:].partition("/")[0], None, why) if at else Named(None, named, why)
    return Named(slug or split_model(asked_model)[0], None, "the model in the request")
