"""Serve TLS and mutual TLS with certificates that may be replaced while the server runs."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from protome.config import Config

from .file_signature import file_signature

log = logging.getLogger(__name__)

# X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
EXPIRED: Final = 10


class TlsError(Exception):
    """The certificate files cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files.

    Attributes:
        cert: the server's certificate, followed by intermediate certificates.
        key: its private key, not encrypted.
        client_ca: CA certificates that verify client certificates; None disables mutual TLS.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths that are set."""
        return (self.cert, self.key, *((self.client_ca,) if self.client_ca else ()))


def load_certificates(config: Config) -> Certificates | None:
    """Load the configured certificates; None if the server uses plain text.

    Raises:
        TlsError: a file is missing or invalid.
    """
    if not (config.tls_cert or config.tls_key or config.tls_client_ca):
        return None
    if not (config.tls_cert and config.tls_key):
        raise TlsError("TLS needs both tls_cert and tls_key")
    ca = Path(config.tls_client_ca) if config.tls_client_ca else None
    return Certificates(TlsFiles(Path(config.tls_cert), Path(config.tls_key), ca))


class Certificates:
    """The certificate in use; reloads its files at a new connection if they were replaced.

    If the new files are invalid, expired, or do not match, that is logged once and the certificate
    in use stays. Existing connections are never affected.

    Args:
        files: paths of the PEM files.

    Raises:
        TlsError: the files cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._signature = file_signature(self._files.paths)
        self._loaded = self._given = _load(files)

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials for a port of a gRPC server."""
        return grpc.dynamic_ssl_server_credentials(
            self._given.grpc,
            # Its type stubs lack None, which keeps the certificate as it is.
            self.current,  # type: ignore[arg-type]
            require_client_authentication=bool(self._files.client_ca),
        )

    def current(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the certificate if it was replaced since the last call, else None.

        gRPC calls this before each handshake, in any thread.
        """
        with self._lock:
            self._reload_if_changed()
            if self._given is self._loaded:
                return None
            self._given = self._loaded
            return self._loaded.grpc

    def context(self) -> ssl.SSLContext:
        """Return a context for a port without gRPC; each of its handshakes checks the files too."""
        with self._lock:
            context = self._loaded.context
        context.sni_callback = self._switch
        return context

    def _switch(self, connection: ssl.SSLObject, name: str | None, old: ssl.SSLContext) -> None:
        """Give a connection that begins the certificate in use; name and old one do not matter."""
        del name, old
        with self._lock:
            self._reload_if_changed()
            connection.context = self._loaded.context

    def _reload_if_changed(self) -> None:
        """Load the files if they have changed; if they cannot be used, log that once."""
        try:
            signature = file_signature(self._files.paths)
            if signature == self._signature:
                return
            self._signature = signature
            loaded = _load(self._files)
        except TlsError as error:
            log.error("the new certificate is not used: %s", error)
            return
        # The files changed during the reload: the next connection reloads them again.
        if signature != file_signature(self._files.paths):
            self._signature = ()
            return
        self._loaded = loaded
        log.info("the certificate was reloaded")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The content of the files, for gRPC and for Python's ssl module."""

    grpc: grpc.ServerCertificateConfiguration
    context: ssl.SSLContext


def _load(files: TlsFiles) -> _Loaded:
    """Read and check the files; gRPC itself does not report a key that does not match."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
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
    if roots is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return _Loaded(grpc.ssl_server_certificate_configuration([pair], roots), context)


def _expired(server: ssl.SSLContext, cert: Path) -> bool:
    """Return whether a client would reject an expired certificate, from a handshake in memory.

    Python's ssl module offers no other way to check the dates.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # Trust the certificate itself.
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
