"""Whom do we believe that they are who they say?  One context of TLS for all of a process."""

import os
import ssl
from functools import lru_cache


def tls_context() -> ssl.SSLContext:
    """Return what verifies servers, by the system's certificates or those of SSL_CERT_FILE and SSL_CERT_DIR.

    Reading them takes 25 ms of CPU, and they stay in memory, so they are read once.
    """
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    # The library reads the variables itself; here they only tell one context from another.
    return ssl.create_default_context()
