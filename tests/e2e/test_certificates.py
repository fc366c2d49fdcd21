"""Certificates that are replaced again and again while clients connect anew."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import trustme
from cryptography import x509

from protome.client import tls
from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.certificates import Files, chain, issue
from tests.support.service import ONE_WORKER, OPTIONS, Stub, ask, eventually

REPLACED = 20
HALF_SECONDS = 0.05


class Clients:
    """Threads that connect, call and leave, one after the other; ``outcomes`` counts how."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials, photo: bytes) -> None:
        self.outcomes: Counter[str] = Counter()
        self._call = (address, credentials, photo)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        address, credentials, photo = self._call
        request = pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
        while not self._stop.is_set():
            with grpc.secure_channel(address, credentials, options=OPTIONS) as channel:
                try:
                    ask(Stub(channel), request)
                    self.outcomes["OK"] += 1
                except grpc.RpcError as error:
                    self.outcomes[f"{error.code()}"] += 1
                    time.sleep(0.05)


def written(folder: Path, leaf: trustme.LeafCert, key: trustme.LeafCert | None = None) -> Path:
    """A folder with the certificate and its key, or that of another."""
    folder.mkdir()
    (folder / "cert.pem").write_bytes(chain(leaf))
    (folder / "key.pem").write_bytes((key or leaf).private_key_pem.bytes())
    return folder


def atomically(source: Path, target: Path) -> None:
    """Each file renamed into place."""
    for name in ("key.pem", "cert.pem"):
        os.replace(source / name, target / name)


def half_by_half(source: Path, target: Path) -> None:
    """In place, with a pause in the middle of each file."""
    for name in ("cert.pem", "key.pem"):
        data = (source / name).read_bytes()
        with (target / name).open("wb") as file:
            for part in (data[: len(data) // 2], data[len(data) // 2 :]):
                file.write(part)
                file.flush()
                time.sleep(HALF_SECONDS)


def by_link(source: Path, target: Path) -> None:
    """As Kubernetes does it: the files are links through ``..data``, which is renamed over."""
    (target / "..new").symlink_to(source)
    os.replace(target / "..new", target / "..data")
    for name in ("cert.pem", "key.pem"):
        if not (target / name).is_symlink():
            (target / "..link").symlink_to(Path("..data") / name)
            os.replace(target / "..link", target / name)


def expired(authority: trustme.CA) -> trustme.LeafCert:
    """Since yesterday."""
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return authority.issue_cert(
        "localhost", "127.0.0.1", not_before=now - 9 * day, not_after=now - day
    )


def test_no_call_notices_that_certificates_are_replaced(
    tmp_path: Path, sample_photo: bytes
) -> None:
    authority, clients, strangers = trustme.CA(), trustme.CA(), trustme.CA()
    leaves = [authority.issue_cert("localhost", "127.0.0.1") for _ in range(REPLACED)]
    files = issue(tmp_path / "server", authority)
    target = files.cert.parent
    mine = issue(tmp_path / "mine", clients, "client")
    strange = issue(tmp_path / "strange", strangers, "client")
    flags = ("--tls-cert", str(files.cert), "--tls-key", str(files.key))

    def as_client(own: Files) -> grpc.ChannelCredentials:
        return tls(files.ca, own.cert, own.key)

    with EmbeddedServer([*ONE_WORKER, *flags, "--tls-client-ca", str(mine.ca)]) as server:
        host, port = server.address.split(":")

        def shown() -> int:
            der = _shown(host, int(port), mine)
            return x509.load_der_x509_certificate(der).serial_number

        with (
            Clients(server.address, as_client(mine), sample_photo) as known,
            Clients(server.address, as_client(strange), sample_photo) as unknown,
        ):
            for number, leaf in enumerate(leaves):
                source = written(tmp_path / str(number), leaf)
                how = (atomically, half_by_half, by_link)[number * 3 // REPLACED]
                how(source, target)
                assert shown() == _serial(leaf), how.__name__
                # As many calls as replacements, however busy the machine is.
                eventually(lambda n=number: known.outcomes["OK"] > n + 1, "calls go on")  # type: ignore[misc]
            for name, made in (
                ("expired", (expired(authority), None)),
                ("mismatch", (leaves[0], leaves[1])),
            ):
                by_link(written(tmp_path / name, *made), target)
                assert shown() == _serial(leaves[-1])

                # The log is written by a thread of its own.
                def refused(name: str = name) -> bool:
                    log = server.log.read_text().lower()
                    return name in log.split("the new certificate is not used")[-1]

                eventually(refused, f"the log says {name}")
        assert known.outcomes.keys() == {"OK"}
        assert known.outcomes["OK"] > REPLACED
        assert unknown.outcomes.keys() == {f"{grpc.StatusCode.UNAVAILABLE}"}


def _serial(leaf: trustme.LeafCert) -> int:
    return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number


def _shown(host: str, port: int, own: Files) -> bytes:
    """What a new connection is shown, as DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(own.cert, own.key)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, port), 10) as plain,
        context.wrap_socket(plain) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return shown
