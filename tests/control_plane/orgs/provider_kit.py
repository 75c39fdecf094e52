"""An identity provider that says whatever a test wants, rightly or wrongly signed: for what a proper one never does."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


class LyingProvider:
    """`documents` by path; `forms` are what the token endpoint was sent."""

    def __init__(self, port):
        self.issuer = f"http://127.0.0.1:{port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.forms = []
        self.documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/a", "token_endpoint": f"{self.issuer}/t",
                "jwks_uri": f"{self.issuer}/k", "userinfo_endpoint": f"{self.issuer}/u",
            },
            "/k": {"keys": [self.jwk()]},
        }  # fmt: skip

    def jwk(self, kid="one", key=None):
        """A key as it is listed."""
        return {
            **json.loads(RSAAlgorithm.to_jwk((key or self.key).public_key())),
            "kid": kid,
            "use": "sig",
            "alg": "RS256",
        }

    def says(self, *, key=None, algorithm="RS256", headers=None, **changed):
        """Let the token endpoint answer with a token; a claim of None is left out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": "client", "sub": "ada", "exp": now + 60, "iat": now, "nonce": "nonce",
            "email": "Ada@corp.example", "email_verified": True, **changed,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode(claims, key or self.key, algorithm=algorithm, headers={"kid": "one", **(headers or {})})
        self.documents["/t"] = {"id_token": token, "access_token": "at"}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        document = self.server.provider.documents.get(self.path)
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.server.provider.forms.append((form, dict(self.headers)))
        self.do_GET()

    def log_message(self, *_args):
        """Say nothing."""


@contextmanager
def lying_provider():
    """Run one until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.provider = LyingProvider(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
