"""TLS and mutual TLS with certificates that may be replaced while the server runs."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from .replaced import signature

log = logging.getLogger(__name__)


# X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
EXPIRED: Final = 10


class TlsError(Exception):
    """The certificate files cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files.

    Attributes:
        cert: the server's certificate, then those that vouch for it.
        key: its private key, not encrypted.
        client_ca: certificates that clients must be vouched for by; None: any client may connect.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that are there."""
        return (self.cert, self.key, *((self.client_ca,) if self.client_ca else ()))


class Certificates:
    """The certificate in use; looks at each new connection whether its files were replaced.

    Files that are broken, expired, or do not belong together, are reported once and leave the
    certificate in use as it is. Connections that exist are never touched.

    Args:
        files: what to serve with.

    Raises:
        TlsError: it cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._seen = signature(self._files.paths)
        self._first = _load(files)

    def credentials(self) -> grpc.ServerCredentials:
        """For a gRPC port."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            # None, which its stubs do not know, leaves the certificate as it is.
            self._fetch,  # type: ignore[arg-type]
            require_client_authentication=bool(self._files.client_ca),
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificate if it was replaced; gRPC asks before each handshake, in any thread."""
        with self._lock:
            try:
                found = signature(self._files.paths)
                if found == self._seen:
                    return None
                self._seen = found
                loaded = _load(self._files)
            except TlsError as error:
                log.error("the new certificate is not used: %s", error)
                return None
            # Written to while we read: the next connection looks again.
            if found != signature(self._files.paths):
                self._seen = ()
                return None
        log.info("the certificate was replaced")
        return loaded


def _load(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    """Read and check; gRPC itself says nothing of a key that is not the certificate's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.cert, files.key, password=_no_password)
        if files.client_ca:
            context.load_verify_locations(files.client_ca)
        if _expired(context, files.cert):
            raise ValueError("the certificate has expired")
        roots = files.client_ca.read_bytes() if files.client_ca else None
        pair = files.key.read_bytes(), files.cert.read_bytes()
    except (OSError, ValueError) as error:
        names = ", ".join(map(str, files.paths))
        raise TlsError(f"cannot use {names}: {error}") from None
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


def _expired(server: ssl.SSLContext, cert: Path) -> bool:
    """Whether a client finds so, in a handshake in memory; nothing else reads the dates."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # The certificate vouches for itself.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    try:
        for end in (*ends, *ends):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code == EXPIRED
    return False


def _no_password() -> str:
    raise ValueError("the private key is encrypted")
