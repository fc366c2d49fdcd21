"""Certificates and token files: replaced, asked for, missing or broken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import trustme

from protome.client import Client, ReconstructionError, tls
from protome.embedded import EmbeddedError, EmbeddedServer
from tests.e2e.guarded import Guarded, asked, connected
from tests.support.certificates import Files, issue
from tests.support.service import (
    ONE_WORKER,
    Stub,
    http_get,
    large,
)


def test_the_certificate_is_replaced_without_a_restart(
    guarded: Guarded, sample_photo: bytes
) -> None:
    """Last, as it changes what the server shows."""
    folder = guarded.files.cert.parent
    other = trustme.CA()

    def trusts(authority: trustme.CA) -> bool:
        with connected(guarded, authority) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=5)
            except grpc.FutureTimeoutError:
                return False
            return True

    with connected(guarded) as channel, ThreadPoolExecutor(1) as threads:
        stub = Stub(channel)
        old_call = stub.Reconstruct(large(sample_photo, 4), metadata=guarded.of("shop"), timeout=60)
        first = next(iter(old_call))
        # Broken: the old one stays, and that is logged.
        good = guarded.files.cert.read_bytes()
        guarded.files.cert.write_bytes(b"garbage")
        assert trusts(guarded.authority)
        errors = [r["message"] for r in guarded.records() if r["level"] == "error"]
        assert any("new certificate is not used" in message for message in errors)
        guarded.files.cert.write_bytes(good)
        # Sound: new connections see it, the call in flight never notices.
        issue(folder, other)
        assert trusts(other)
        assert not trusts(guarded.authority)
        rest = threads.submit(list, old_call).result(60)
        assert first.HasField("header")
        assert rest[-1].HasField("summary")
        # Nor does the connection.
        assert asked(stub, sample_photo, guarded.of("shop")).outcomes() == ["RECONSTRUCTED"]


def test_clients_must_show_a_certificate_that_is_vouched_for(
    tmp_path: Path, sample_photo: bytes
) -> None:
    servers, clients, strangers = trustme.CA(), trustme.CA(), trustme.CA()
    server_files = issue(tmp_path / "server", servers)
    mine = issue(tmp_path / "client", clients, "client")
    flags = ("--tls-cert", str(server_files.cert), "--tls-key", str(server_files.key))
    with EmbeddedServer([*ONE_WORKER, *flags, "--tls-client-ca", str(mine.ca)]) as server:

        def outcome(cert: Files | None) -> str:
            shown = (cert.cert, cert.key) if cert else ()
            credentials = tls(server_files.ca, *shown)
            with Client(server.address, credentials=credentials, timeout=20) as client:
                try:
                    return client.reconstruct(sample_photo, detail="preview").faces[0].outcome
                except ReconstructionError as error:
                    return error.code.name

        assert outcome(mine) == "RECONSTRUCTED"
        assert outcome(None) == "UNAVAILABLE"
        assert outcome(issue(tmp_path / "stranger", strangers, "client")) == "UNAVAILABLE"
        # HTTP stays plain: its listener is for probes.
        assert http_get(server, "/readyz")[0] == 200


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--tls-cert", "cert.pem"), "tls_key"),
        (("--tls-client-ca", "ca.pem"), "tls_cert"),
        (("--tls-cert", "no.pem", "--tls-key", "no.pem"), "no.pem"),
        (("--token-file", "no.toml"), "no.toml"),
    ],
)
def test_broken_tls_and_token_settings_prevent_the_start(flags: tuple[str, ...], word: str) -> None:
    with pytest.raises(EmbeddedError, match=word), EmbeddedServer([*ONE_WORKER, *flags]):
        pass
