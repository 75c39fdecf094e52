"""Starting and stopping in order: nothing is cut off, nothing is lost, nothing is left running."""

import json
import os
import signal
import threading
from pathlib import Path

import openai

from tests.system.fake_process import fake_provider
from tests.system.system_kit import Program, fetch, free_port, wait_for


def test_a_gateway_that_is_told_to_stop_finishes_its_streams_and_loses_no_record(system):
    ids, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            status, _, headers = system.chat(timeout_s=5)
            if status == 200:
                ids.append(headers["x-portkey-request-id"])

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(ids) > 60, "the load runs")
        gateway = system.programs["gateway"].process
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(30) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        system.start("gateway")
        wait_for(lambda: system.chat(timeout_s=2)[0] == 200, "the gateway is back")
    wait_for(lambda: not set(ids) - system.stored().keys(), "every answered request is recorded")


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_worker_that_dies_is_replaced_and_the_port_goes_on_answering(system):
    def workers():
        pid = system.programs["gateway"].process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [child for child in children if b"batch-worker" not in command_of(child)]

    before = wait_for(lambda: len(workers()) == 2 and workers(), "two workers run")
    os.kill(int(before[0]), signal.SIGKILL)
    wait_for(lambda: len(workers()) == 2 and before[0] not in workers(), "another worker runs")
    assert {system.chat()[0] for _ in range(30)} == {200}


def test_the_payload_policy_of_a_workspace_decides_what_is_stored(system):
    made = system.admin("POST", "/admin/workspaces", {"name": "Metrics only"})
    workspace = made["id"]
    key = system.new_key("metrics", workspace_id=workspace)["key"]
    provider = {
        "name": "P",
        "provider": "openai",
        "key": "demo-key",
        "workspace_id": workspace,
        "custom_host": system.provider,
    }
    slug = system.admin("POST", "/virtual-keys", provider)["slug"]
    for policy in ("metrics", "gateway", "full"):
        system.admin("PUT", f"/admin/workspaces/{workspace}", {"payload_policy": policy})
        system.wait_current()
        canary = f"canary {policy} text"
        _, _, headers = system.chat(key=key, model=f"@{slug}/gpt-4o", text=canary)
        record_id = headers["x-portkey-request-id"]
        wait_for(lambda record_id=record_id: system.stored(record_id), "the record arrives")
        stored = json.dumps(
            [str(row) for row in system.query("SELECT t::text FROM logs_record t WHERE id = %s", record_id)]
        )
        assert (canary in stored) == (policy != "metrics")
        # What is not kept at the gateway it asks the control plane for, which has a record of every request.
        status, body, _ = fetch(f"{system.gateway}/v1/logs/{record_id}", key=key)
        assert (status, set(body) == {"_id", "request", "response"}) == (200, policy == "gateway")
        if policy == "gateway":
            assert body["request"]["body"]["messages"][0]["content"] == canary


def test_streams_of_the_anthropic_translation_reach_the_openai_sdk(system):
    with fake_provider("anthropic") as (base_url, key):
        made = {
            "name": "Claude",
            "provider": "anthropic",
            "key": key,
            "workspace_id": system.demo["workspace_id"],
            "custom_host": base_url,
        }
        slug = system.admin("POST", "/virtual-keys", made)["slug"]
        with openai.OpenAI(base_url=f"{system.gateway}/v1", api_key=system.key, max_retries=0) as client:
            asked = {
                "model": f"@{slug}/claude-sonnet-4-5",
                "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}],
            }
            whole = client.chat.completions.create(**asked)
            assert whole.choices[0].finish_reason == "stop"
            assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
            with client.chat.completions.create(**asked, stream=True) as stream:
                text = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
            assert text == whole.choices[0].message.content


def test_two_gateways_of_one_installation_serve_alike(system, tmp_path):
    token = json.loads(
        system.manage("create_enrolment", system.demo["organisation_id"], "--group", "second").splitlines()[-1]
    )
    port = free_port()
    environment = {**system.gateway_environment(), "GATEHOUSE_GATEWAY_PORT": str(port), "GATEHOUSE_GATEWAY_STATE_DIR": str(tmp_path / "second"),
                   "GATEHOUSE_ENROLMENT_TOKEN": token["token"], "GATEHOUSE_ROOT_SHA256": token["root_sha256"]}  # fmt: skip
    program = Program("second", system.programs["gateway"].command, environment, tmp_path / "second.log").start()
    try:
        body = {"model": "@demo/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
        wait_for(
            lambda: fetch(f"http://127.0.0.1:{port}/v1/chat/completions", key=system.key, body=body)[0] == 200,
            "the second gateway serves",
        )
    finally:
        program.stop()
