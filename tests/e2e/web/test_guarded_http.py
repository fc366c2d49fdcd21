"""Plain HTTP of a server that faces strangers: TLS, tokens, quotas, origins, ids in its log."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from protome.embedded import EmbeddedServer
from tests.e2e.guarded import Guarded
from tests.support.certificates import issue
from tests.support.http import RECONSTRUCT, HttpAnswer, call
from tests.support.service import ONE_WORKER, eventually, metric

ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A guarded server that lets the pages of one other origin in."""
    flags = ("--web-origins", ORIGIN, "--metrics-host", "127.0.0.1")
    made = Guarded(tmp_path_factory.mktemp("strict"), *flags)
    with made.server:
        yield made


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def ask(server: Guarded, photo: bytes | None, token: str = "", path: str = "") -> HttpAnswer:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    context = trusting(server.authority)
    where = path or f"{RECONSTRUCT}?detail=preview"
    return call(server.server.web, where, photo, headers, tls=context)


def test_plain_text_is_refused_where_there_is_tls(strict: Guarded) -> None:
    with pytest.raises((ConnectionError, OSError)):
        call(strict.server.web, "/v1/info")


def test_a_client_without_trust_refuses(strict: Guarded) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        call(strict.server.web, "/", tls=trusting(trustme.CA()))


def test_tokens_are_those_of_grpc(strict: Guarded, sample_photo: bytes) -> None:
    answer = ask(strict, sample_photo, strict.tokens["shop"])
    assert (answer.status, answer.headers["content-type"]) == (200, "model/gltf-binary")
    refused = metric_unauthenticated(strict)
    for token in ("", "wrong"):
        for photo, path in ((sample_photo, ""), (None, "/v1/info")):
            answer = ask(strict, photo, token, path)
            assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert metric_unauthenticated(strict) == refused + 4


def metric_unauthenticated(strict: Guarded) -> float:
    return metric(strict.server, "protome_unauthenticated_calls_total")


def test_the_page_and_the_description_need_no_token(strict: Guarded) -> None:
    for path in ("/", "/app.js", "/docs/", "/openapi.json", "/sample.jpg"):
        assert ask(strict, None, path=path).status == 200
    described = ask(strict, None, path="/openapi.json").json()
    assert described["paths"]["/v1/info"]["get"]["security"] == [{"token": []}]


def test_a_refused_client_need_not_send_its_photo(strict: Guarded) -> None:
    """With ``Expect: 100-continue`` the answer comes instead of the permission."""
    host, port = strict.server.web.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        trusting(strict.authority).wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(
            b"POST /v1/reconstruct HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n"
            b"expect: 100-continue\r\n\r\n"
        )
        assert secure.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_quotas_are_those_of_grpc(strict: Guarded, sample_photo: bytes) -> None:
    token = strict.tokens["trial"]
    answers = [ask(strict, sample_photo, token) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].reason == "QUOTA_EXCEEDED"
    assert int(answers[2].headers["retry-after"]) > 10
    assert answers[2].json()["metadata"] == {"photos_per_second": "0.001"}


def test_pages_of_the_allowed_origin_are_let_in(strict: Guarded) -> None:
    context = trusting(strict.authority)
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    answer = call(strict.server.web, RECONSTRUCT, method="OPTIONS", headers=asked, tls=context)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    asked["origin"] = "https://evil.example"
    answer = call(strict.server.web, RECONSTRUCT, method="OPTIONS", headers=asked, tls=context)
    assert answer.status == 400
    assert "access-control-allow-origin" not in answer.headers
    answer = call(strict.server.web, "/v1/info", headers={"origin": ORIGIN}, tls=context)
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_the_log_names_protocol_and_client_but_no_token(
    strict: Guarded, sample_photo: bytes
) -> None:
    token = strict.tokens["shop"]
    headers = {"authorization": f"Bearer {token}", "x-request-id": "web-7"}
    call(strict.server.web, RECONSTRUCT, sample_photo, headers, tls=trusting(strict.authority))

    def mine() -> list[dict[str, Any]]:
        return [r for r in strict.records() if r.get("request_id") == "web-7"]

    eventually(lambda: bool(mine()), "the request is logged")
    (record,) = mine()
    assert (record["protocol"], record["code"], record["method"]) == ("http", "OK", "Reconstruct")
    assert token not in strict.server.log.read_text()


def test_spans_name_the_route(strict: Guarded, sample_photo: bytes) -> None:
    ask(strict, sample_photo, strict.tokens["shop"])
    eventually(
        lambda: '"http.route": "/v1/reconstruct"' in strict.server.log.read_text(),
        "the span of the request is exported",
    )


def test_a_replaced_certificate_is_used_by_the_next_connection(
    strict: Guarded, sample_photo: bytes
) -> None:
    before, authority = strict.authority, trustme.CA()
    issue(strict.files.cert.parent, authority)
    try:
        answer = call(strict.server.web, "/", tls=trusting(authority))
        assert answer.status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            call(strict.server.web, "/", tls=trusting(before))
    finally:
        issue(strict.files.cert.parent, before)
    assert call(strict.server.web, "/", tls=trusting(before)).status == 200


def test_mutual_tls_holds_for_http(strict: Guarded) -> None:
    """A port of its own: the shared one asks for no certificates of clients."""
    files = strict.files
    flags = ["--tls-cert", str(files.cert), "--tls-key", str(files.key)]
    with EmbeddedServer([*ONE_WORKER, *flags, "--tls-client-ca", str(files.ca)]) as server:
        context = trusting(strict.authority)
        with pytest.raises(OSError, match=r"(?i)certificate|reset|closed|EOF"):
            call(server.web, "/v1/info", tls=context)
        context.load_cert_chain(files.cert, files.key)
        assert json.loads(call(server.web, "/v1/info", tls=context).body)["version"]
