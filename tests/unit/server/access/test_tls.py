"""Invalid certificate files are refused; valid ones replace the certificate in use."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from protome.server.access.tls import Certificates, TlsError, TlsFiles


def write(folder: Path, cert: trustme.LeafCert, key: trustme.LeafCert | None = None) -> TlsFiles:
    folder.mkdir(exist_ok=True)
    (folder / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
    (folder / "key.pem").write_bytes((key or cert).private_key_pem.bytes())
    return TlsFiles(folder / "cert.pem", folder / "key.pem")


@pytest.fixture(scope="module")
def leaves() -> list[trustme.LeafCert]:
    authority = trustme.CA()
    return [authority.issue_cert("localhost") for _ in range(2)]


def test_a_key_of_another_certificate_is_refused(
    tmp_path: Path, leaves: list[trustme.LeafCert]
) -> None:
    with pytest.raises(TlsError, match=r"cert\.pem.*mismatch"):
        Certificates(write(tmp_path, *leaves))


def test_an_encrypted_key_is_refused_without_a_prompt(
    tmp_path: Path, leaves: list[trustme.LeafCert]
) -> None:
    files = write(tmp_path, leaves[0])
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    with pytest.raises(TlsError, match="encrypted"):
        Certificates(files)


def test_only_an_expired_certificate_is_refused_for_its_dates(tmp_path: Path) -> None:
    """A certificate that is not valid yet may be due to a wrong clock, and becomes valid."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    authority = trustme.CA()
    for name, since, until in (("now", -9, 9), ("later", 1, 9)):
        leaf = authority.issue_cert("a", not_before=now + since * day, not_after=now + until * day)
        Certificates(write(tmp_path / name, leaf))
    leaf = authority.issue_cert("a", not_before=now - 9 * day, not_after=now - day)
    with pytest.raises(TlsError, match="expired"):
        Certificates(write(tmp_path / "then", leaf))


@pytest.mark.parametrize("broken", ["cert.pem", "key.pem", "ca.pem"])
@pytest.mark.parametrize("how", ["missing", "empty", "garbage"])
def test_a_broken_file_is_refused(
    tmp_path: Path, leaves: list[trustme.LeafCert], broken: str, how: str
) -> None:
    files = write(tmp_path, leaves[0])
    (tmp_path / "ca.pem").write_bytes(leaves[0].cert_chain_pems[0].bytes())
    if how == "missing":
        (tmp_path / broken).unlink()
    else:
        (tmp_path / broken).write_bytes(b"" if how == "empty" else b"\xff garbage")
    with pytest.raises(TlsError):
        Certificates(TlsFiles(files.cert, files.key, tmp_path / "ca.pem"))


def test_an_invalid_replacement_is_logged_once_and_a_valid_one_used(
    tmp_path: Path, leaves: list[trustme.LeafCert], caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(write(tmp_path, leaves[0]))
    assert certificates.current() is None
    os.replace(write(tmp_path / "new", leaves[1]).cert, tmp_path / "cert.pem")
    for _ in range(3):
        assert certificates.current() is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    os.replace(tmp_path / "new" / "key.pem", tmp_path / "key.pem")
    assert certificates.current() is not None
    assert certificates.current() is None


def test_missing_files_keep_the_certificate_in_use(
    tmp_path: Path, leaves: list[trustme.LeafCert], caplog: pytest.LogCaptureFixture
) -> None:
    files = write(tmp_path, leaves[0])
    certificates = Certificates(files)
    files.cert.unlink()
    for _ in range(3):
        assert certificates.current() is None
    assert len(caplog.records) == 1
    write(tmp_path, leaves[1])
    assert certificates.current() is not None


def test_unreadable_files_are_read_again_when_readable(
    tmp_path: Path, leaves: list[trustme.LeafCert], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that came without permission to read it, which was then given. Root reads all,
    so that the permission changes for real and the refusal is put on."""
    certificates = Certificates(write(tmp_path, leaves[0]))
    files = write(tmp_path, leaves[1])
    files.key.chmod(0)
    with monkeypatch.context() as patch:
        patch.setattr("protome.server.access.tls._load", _refuse)
        assert certificates.current() is None
    files.key.chmod(0o600)
    assert certificates.current() is not None


def _refuse(files: TlsFiles) -> None:
    raise TlsError("Permission denied")
