"""A real OpenID provider as a process of its own, from `oidc-provider-mock`, which asks for PKCE as well.

    with identity_provider() as provider: provider.issuer, provider.register("http://…/sso/callback")

Its page of consent is posted to with `sub`; who that is, `provider.person(sub, email=…)` says before.
"""

import base64
import hashlib
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import httpx


@dataclass
class IdentityProvider:
    """Where it listens."""

    issuer: str

    def register(self, redirect_uri, method="client_secret_basic"):
        """A new client: (id, secret)."""
        body = {"redirect_uris": [redirect_uri], "token_endpoint_auth_method": method}
        made = httpx.post(f"{self.issuer}/oauth2/clients", json=body).raise_for_status().json()
        return made["client_id"], made["client_secret"]

    def person(self, subject, **claims):
        """What it says of a person."""
        httpx.put(f"{self.issuer}/users/{subject}", json=claims).raise_for_status()


@contextmanager
def identity_provider():
    """Run it until the block ends."""
    child = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = int(child.stdout.readline())
        yield IdentityProvider(f"http://127.0.0.1:{port}")
    finally:
        child.terminate()
        child.wait(10)
        child.stdout.close()


class DemandsPkce:
    """Refuses a code whose verifier does not fit the challenge that it was asked for with."""

    def __init__(self, app):
        self.app = app
        self.challenges = {}

    def __call__(self, environ, start_response):
        """Serve one request."""
        if environ["PATH_INFO"] == "/oauth2/authorize" and environ["REQUEST_METHOD"] == "POST":
            return self.app(environ, self._noting(parse_qs(environ["QUERY_STRING"]), start_response))
        if environ["PATH_INFO"] == "/oauth2/token" and not self._fits(environ):
            start_response("400 Bad Request", [("content-type", "application/json")])
            return [b'{"error": "invalid_grant"}']
        return self.app(environ, start_response)

    def _noting(self, asked, start_response):
        def start(status, headers, *rest):
            code = parse_qs(urlsplit(dict(headers).get("Location", "")).query).get("code", [None])[0]
            if asked.get("code_challenge_method") == ["S256"]:
                self.challenges[code] = asked["code_challenge"][0]
            return start_response(status, headers, *rest)

        return start

    def _fits(self, environ):
        raw = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(raw)
        form = {name: values[0] for name, values in parse_qs(raw.decode()).items()}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return self.challenges.pop(form.get("code"), None) == challenge


def serve():
    """Say the port on standard output, and serve until the end."""
    import oidc_provider_mock
    from werkzeug.serving import make_server

    app = oidc_provider_mock.app(require_client_registration=True, require_nonce=True)
    server = make_server("127.0.0.1", 0, DemandsPkce(app), threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve()
