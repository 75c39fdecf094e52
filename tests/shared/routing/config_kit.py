"""Random configs: nearly valid ones, grown from what the language allows, and mutations of them."""

from copy import deepcopy

WORDS = ("a", "b", "free", "1")
MODES = ("single", "fallback", "loadbalance", "conditional")
OPERATORS = ("$eq", "$ne", "$in", "$nin", "$regex", "$gt", "$gte", "$lt", "$lte")
JUNK = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    float("inf"),
    "",
    "x",
    "@s",
    "\ud800",
    [],
    [[]],
    {},
    {"x": 1},
    [None],
    ["a"],
    {"$or": 1},
    {"mode": "x"},
)


def query(dice, depth=0):
    if depth < 2 and dice.random() < 0.3:
        return {dice.choice(("$or", "$and")): [query(dice, depth + 1) for _ in range(dice.randint(0, 2))]}
    key = dice.choice(("metadata.plan", "metadata.u", "params.model", "params.max_tokens", "url.pathname"))
    operator = dice.choice(OPERATORS)
    operand = dice.choice(WORDS)
    if operator in {"$in", "$nin"}:
        operand = [operand, 1]
    return {key: operand if dice.random() < 0.3 else {operator: operand}}


def breaker(dice):
    return {
        "cooldown_interval": 30_000,
        dice.choice(("failure_threshold", "failure_threshold_percentage")): dice.randint(1, 5),
    }


def strategy(dice, names):
    mode = dice.choice(MODES)
    said = {"mode": mode}
    if mode == "conditional":
        said["conditions"] = [{"query": query(dice), "then": dice.choice(names)} for _ in range(dice.randint(1, 3))]
        if dice.random() < 0.7:
            said["default"] = dice.choice(names)
    if mode == "fallback" and dice.random() < 0.5:
        said["on_status_codes"] = dice.sample((246, 400, 429, 500, 503), dice.randint(0, 3))
    if mode == "loadbalance" and dice.random() < 0.4:
        said["sticky"] = {"enabled": dice.random() < 0.8, "hash_fields": ["metadata.u", "params.model"], "ttl": 60}
    if dice.random() < 0.3:
        said["cb_config"] = breaker(dice)
    return said


def said_by_a_level(dice):
    possible = {
        "retry": {
            "attempts": dice.randint(0, 5),
            "on_status_codes": [429, 500, 200],
            "use_retry_after_headers": dice.random() < 0.5,
        },
        "request_timeout": dice.randint(1, 10_000),
        "override_params": {"model": dice.choice(("gpt", "@s/gpt"))},
        "default_params": {"max_tokens": 5},
        "drop_params": dice.sample(("logprobs", "a.b", "m[*].n", "m[0]"), 2),
        "forward_headers": ["x-one"],
        "custom_host": dice.choice(("https://a.example/v1", "http://127.0.0.1/v1"))
        if dice.random() < 0.3
        else "https://a.example",
        "strict_open_ai_compliance": dice.random() < 0.5,
        "passthrough": dice.random() < 0.5,
        "cb_config": breaker(dice),
        "azure_region": "eu",
        "on_status_codes": [500],
    }
    return {key: value for key, value in possible.items() if dice.random() < 0.15}


def near_valid(dice, depth=0):
    """Return a config that the language allows, but for a host that is judged now and then."""
    body = said_by_a_level(dice)
    if depth < 3 and dice.random() < (0.9 if depth == 0 else 0.3):
        names = [f"t{index}" for index in range(dice.randint(1, 4))]
        targets = [near_valid(dice, depth + 1) | {"name": name} for name in names]
        for target in targets:
            if dice.random() < 0.5:
                target["weight"] = dice.choice((0, 0, 0.3, 1, 7))
        targets[-1]["weight"] = 1
        return body | {"strategy": strategy(dice, names), "targets": targets}
    return body | dice.choice(({"provider": "@s"}, {"virtual_key": "v"}, {"provider": "openai", "api_key": "k"}))


def places(value, found):
    """Collect every (container, key) of a JSON value."""
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    else:
        return found
    for key in keys:
        found.append((value, key))
        places(value[key], found)
    return found


def junk(dice):
    return deepcopy(dice.choice(JUNK))


def mutated(body, dice):
    """Change one place of `body`: junk instead of what is there, a key gone, or a strange one added."""
    if not isinstance(body, dict) or not body or dice.random() < 0.02:
        return junk(dice)
    if dice.random() < 0.1:
        return body | {dice.choice(("options", "zzz", "weight")): junk(dice)}
    container, key = dice.choice(places(body, []))
    fate = dice.random()
    if fate < 0.7 or isinstance(container, list):
        container[key] = junk(dice)
    elif fate < 0.85:
        del container[key]
    else:
        container[dice.choice(("$regex", "strategy", "targets", "zz,z", "then"))] = junk(dice)
    return body
