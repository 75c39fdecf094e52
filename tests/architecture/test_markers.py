"""Nothing is left half done, nothing is silenced, and nothing depends on where or how it was written."""

import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, SOURCE, python_files, text_files

THIS = Path(__file__).relative_to(ROOT)
# Every file in which a secret leaves its wrapper, and the reason why it must; a new one is argued for here.
MAY_REVEAL = {
    "control_plane/accounts/second_factor.py": "compares one-time codes with a seed, and shows it to who enrols it",
    "control_plane/alerts/targets.py": "encrypts the address and secret of a webhook, posts there and signs",
    "control_plane/core/sealed.py": "encrypts seeds of second factors and client secrets for the database",
    "control_plane/core/showing.py": "shows a new API key or token once, to the person who made it",
    "control_plane/gateways/seal.py": "seals a provider key to the gateways of a group",
    "control_plane/gateways/services.py": "shows a new enrolment token once",
    "control_plane/keys/services.py": "takes a pasted key apart, to say which one it is",
    "control_plane/orgs/oidc.py": "sends a client secret to the token endpoint of an identity provider",
    "control_plane/vault/services.py": "encrypts a provider key for the database, and masks it",
    "data_plane/providers/_anthropic_like.py": "puts the provider key into the upstream header",
    "data_plane/providers/_aws.py": "signs a request with an account's secret",
    "data_plane/providers/_custom.py": "puts the provider key into the header that the provider's row names",
    "data_plane/providers/_azure.py": "puts the provider key into the upstream header",
    "data_plane/providers/_google_auth.py": "signs a claim with a service account's key",
    "data_plane/providers/_oauth.py": "puts an application's secret into the form that gets a token",
    "data_plane/providers/_oci_sign.py": "signs a request with an account's key",
    "data_plane/providers/_openai_like.py": "puts the provider key into the upstream header",
    "data_plane/sync/enrol.py": "sends the one-time enrolment token to the control plane",
    "data_plane/upstream/identity/azure.py": "changes a machine's token for one of an application that trusts it",
    "data_plane/upstream/identity/google.py": "changes another cloud's token for one of a service account",
    "shared/redact.py": "is the wrapper",
}
TEXT = (".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".html", ".css", ".js", ".example", ".Dockerfile", ".cfg", "")


def hits(pattern, paths):
    """Where `pattern` occurs, as file:line."""
    found = []
    for path in paths:
        if path == THIS:
            continue
        lines = (ROOT / path).read_text(errors="replace").splitlines()
        found += [f"{path}:{number}" for number, line in enumerate(lines, 1) if re.search(pattern, line)]
    return found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\b(TODO|FIXME|XXX)\b", "an open end belongs in an issue"),
        (r"\bNotImplementedError\b", "a method that is not there is not declared"),
        (r"pytest\.(skip|mark\.skip|importorskip|xfail|mark\.xfail)", "a test that does not run proves nothing"),
        (r"unittest\.skip", "a test that does not run proves nothing"),
        (r"#\s*type:\s*ignore(?!\[)", "an ignored fault is named"),
        (r"#\s*noqa(?!:)", "an ignored rule is named"),
        (r"\bprint\(\s*[\"'](DEBUG|debug)", "a trace of debugging"),
        (r"\bbreakpoint\(\)", "a trace of debugging"),
    ],
)
def test_the_source_has_no(pattern, why):
    assert hits(pattern, python_files(*SOURCE, "tests")) == [], why


def test_an_ignored_rule_has_its_reason_beside_it():
    assert hits(r"#\s*noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*\s*$", python_files(*SOURCE)) == []


def test_secrets_are_revealed_only_where_they_must_be():
    files = {hit.partition(":")[0] for hit in hits(r"\.reveal\(", python_files(*SOURCE))}
    assert files == set(MAY_REVEAL)


@pytest.mark.parametrize(
    "pattern", [r"(?<![\w.}])/work/", r"(?<![\w.}])/root/[.a-z]", r"(?<![\w.{}])/home/\w+/", r"/Users/\w+/"]
)
def test_no_file_names_a_path_of_one_machine(pattern):
    assert hits(pattern, text_files(*TEXT)) == []


def test_no_file_says_how_it_was_written():
    pattern = (
        r"(?i)co-authored-by|(written|generated|created|made) (by|with) (an? )?(ai|llm|assistant|language model)\b"
    )
    assert hits(pattern, text_files(*TEXT)) == []
