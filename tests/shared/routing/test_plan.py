from shared.routing.plan import DEFAULT_PLAN, Target


def test_without_a_config_the_request_alone_decides():
    assert DEFAULT_PLAN.root == Target(path="config")
    assert DEFAULT_PLAN.mode == "single"
