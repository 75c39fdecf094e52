"""The control plane dies; requests do not notice."""

import threading
import time

from tests.system.system_kit import fetch, wait_for


def test_requests_flow_and_a_restarted_gateway_serves_new_keys_without_the_control_plane(system):
    never_used = system.new_key("never used")["key"]
    system.wait_current()
    try:
        system.kill_control_plane()
        before = [system.chat() for _ in range(100)]
        assert {status for status, _, _ in before} == {200}
        status, told, _ = fetch(f"{system.gateway}/v1/configs", key=system.admin_key)
        assert (status, told["data"]["errorCode"]) == (503, "AB04")
        system.programs["gateway"].kill()
        began = time.monotonic()
        system.start("gateway")
        wait_for(lambda: system.chat(timeout_s=2)[0] == 200, "the restarted gateway serves")
        ready_s = time.monotonic() - began
        after = [system.chat(key=never_used) for _ in range(100)]
        assert {status for status, _, _ in after} == {200}
        assert ready_s <= 5.0
    finally:
        system.start_control_plane()
    ids = [headers["x-portkey-request-id"] for _, _, headers in after]
    wait_for(lambda: len(system.stored(*ids)) == len(ids), "what was recorded during the outage arrives")
    assert set(system.stored(*ids).values()) == {1}
    assert system.chat(key=system.new_key("after")["key"])[0] == 200


def test_a_load_across_the_outage_loses_no_request(system):
    statuses, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            statuses.append(system.chat()[0])

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(statuses) > 50, "the load runs")
        system.kill_control_plane()
        reached = len(statuses)
        wait_for(lambda: len(statuses) > reached + 200, "the load goes on")
    finally:
        system.start_control_plane()
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
