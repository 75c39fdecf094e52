from data_plane.pipeline.answer_headers import answer_headers


def test_headers_of_the_answer_are_passed_on_with_lower_case_names():
    told = {"X-Request-Id": "req_1", "openai-processing-ms": "12", "Retry-After": "3", "location": "/v1/x"}
    assert answer_headers(told) == {
        "x-request-id": "req_1",
        "openai-processing-ms": "12",
        "retry-after": "3",
        "location": "/v1/x",
    }


def test_headers_of_the_connection_of_the_bytes_and_of_the_gateway_are_not():
    told = [
        "Connection",
        "transfer-encoding",
        "content-length",
        "content-encoding",
        "content-type",
        "set-cookie",
        "Server",
    ]
    assert answer_headers(dict.fromkeys([*told, "X-Portkey-Trace-Id"], "x")) == {}


def test_headers_that_the_provider_names_as_its_connections_stay_behind():
    upstream = {"Connection": "close, X-Hop", "x-hop": "1", "x-kept": "2"}
    assert answer_headers(upstream) == {"x-kept": "2"}
