"""The methods that the SDK has: which of them the tests call, and which have no subject here."""

import inspect

from portkey_ai.api_resources.apis.api_resource import APIResource

#: What gateways serve, and a provider answers in the end.
INFERENCE = {
    "audio", "batches", "chat", "completions", "containers", "conversations", "embeddings", "evals", "files",
    "fine_tuning", "images", "models", "moderations", "realtime", "responses", "skills", "uploads", "vector_stores",
    "videos", "webhooks",
}  # fmt: skip
#: Methods whose subject is not here yet, and what it is.
LATER = {
    r"prompts\..+": "later: prompts, their versions and partials",
    r"generations\.create": "later: the older form of a prompt's completion",
    r"guardrails\..+": "later: guardrails",
    r"logs\.create": "later: records of calls that passed no gateway",
    r"logs\.exports\..+": "later: exports of records",
    r"analytics\..+": "later: figures made of records",
    r"feedback\..+": "later: what users think of an answer",
    r"mcp_(servers|integrations)\..+": "later: MCP",
}
FIVE = ("create", "retrieve", "list", "update", "delete")
#: What the tests of this module call.
CALLED = set()


def calls(resource, *names):
    """Note which methods of a resource a test calls."""

    def note(test):
        test.calls = getattr(test, "calls", set()) | {f"{resource}.{name}" for name in names}
        CALLED.update(test.calls)
        return test

    return note


def methods_of(holder, path=()):
    """Yield (resource, path, name) of each method of each resource that a client has."""
    for name, resource in vars(holder).items():
        if isinstance(resource, APIResource) and not name.startswith("_"):
            kinds = [
                kind for kind in type(resource).__mro__ if issubclass(kind, APIResource) and kind is not APIResource
            ]
            for method in {each for kind in kinds for each, value in vars(kind).items() if inspect.isfunction(value)}:
                if not method.startswith("_"):
                    yield resource, (*path, name), method
            yield from methods_of(resource, (*path, name))


def noting(method, name, seen):
    """Return a method that notes that it was called."""

    def noted(*args, **kwargs):
        seen.add(name)
        return method(*args, **kwargs)

    return noted
