import ssl

from data_plane.upstream.tls import tls_context


def test_servers_are_verified_by_one_context():
    made = tls_context()
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls_context() is made


def test_other_certificates_are_another_context(monkeypatch, certificate):
    usual, (_, file) = tls_context(), certificate("localhost")
    with monkeypatch.context() as changed:
        changed.setenv("SSL_CERT_FILE", str(file))
        assert tls_context() is not usual
    assert tls_context() is usual
