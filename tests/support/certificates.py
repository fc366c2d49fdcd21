"""Certificates of the tests' own making, as files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme


@dataclass(frozen=True)
class Files:
    """PEM files of a certificate and its authority."""

    ca: Path
    cert: Path
    key: Path


def chain(leaf: trustme.LeafCert) -> bytes:
    """The certificate and those that vouch for it, as PEM."""
    return b"".join(pem.bytes() for pem in leaf.cert_chain_pems)


def issue(folder: Path, authority: trustme.CA, name: str = "localhost") -> Files:
    """Write a certificate; files that are there are replaced as a deployment does it."""
    folder.mkdir(exist_ok=True)
    leaf = authority.issue_cert(name, "127.0.0.1")
    files = Files(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    for path, data in (
        (files.ca, authority.cert_pem.bytes()),
        (files.key, leaf.private_key_pem.bytes()),
        (files.cert, chain(leaf)),
    ):
        part = path.with_suffix(".part")
        part.write_bytes(data)
        os.replace(part, path)
    return files


def trusting(authority: trustme.CA) -> grpc.ChannelCredentials:
    """Credentials of a client that shows none itself."""
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
