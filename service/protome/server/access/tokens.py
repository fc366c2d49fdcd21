"""Check bearer tokens (RFC 6750) and limit the rate and concurrency of each client.

The server stores only the SHA-256 of a token. Tokens are random (``protome token`` creates them),
so a fast hash is enough.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import math
import os
import re
import secrets
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protome.errors import OverQuota, Unauthenticated

from .file_signature import file_signature

log = logging.getLogger(__name__)

FILE_CHECK_SECONDS: Final = 1.0
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
NAME: Final = re.compile(r"[\w.@-]{1,64}")
# RetryInfo for a tenant that has too many photos in progress.
BUSY_RETRY_SECONDS: Final = 1.0


class TokenFileError(Exception):
    """The token file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The entry of a tenant in the token file.

    Attributes:
        digests: SHA-256 of its tokens; more than one while a token is being replaced.
        rate: photos per second on average.
        burst: photos at once after a pause.
        concurrent: photos in progress at a time.
    """

    digests: Sequence[bytes]
    rate: float = math.inf
    burst: float = math.inf
    concurrent: float = math.inf


class Tenant:
    """A client that is known by its token, and how much of its quota is used.

    The rate is limited by a token bucket that gains ``rate`` photos per second.
    """

    def __init__(self, name: str, allowance: Allowance, clock: Callable[[], float]) -> None:
        self.name = name
        self.allowance = allowance
        self._clock = clock
        self._level = allowance.burst
        self._at = clock()
        self._working = 0

    @contextlib.contextmanager
    def admit_photo(self) -> Iterator[None]:
        """Count a photo as in progress while the block lasts.

        Raises:
            OverQuota: the quota is used up.
        """
        allowance = self.allowance
        if self._working >= allowance.concurrent:
            raise OverQuota(
                f"{self._working} photos of {self.name} are in progress",
                retry_seconds=BUSY_RETRY_SECONDS,
                concurrent=int(allowance.concurrent),
            )
        self._take()
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1

    def _take(self) -> None:
        allowance = self.allowance
        if math.isinf(allowance.rate):
            return
        now = self._clock()
        self._level = min(allowance.burst, self._level + (now - self._at) * allowance.rate)
        self._at = now
        if self._level < 1:
            raise OverQuota(
                f"{self.name} sends more than {allowance.rate:g} photos per second",
                retry_seconds=(1 - self._level) / allowance.rate,
                photos_per_second=f"{allowance.rate:g}",
            )
        self._level -= 1


class Tokens:
    """The tenants of a token file, which is read again when it changes.

    If the changed file is invalid, that is logged and the tenants stay as they were.

    Args:
        file: the token file; see :func:`read`.
        clock: monotonic time in seconds.

    Raises:
        TokenFileError: the file cannot be used.
    """

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._checked_at = clock()
        self._signature = file_signature([file])
        self._tenants = {
            name: Tenant(name, allowance, clock) for name, allowance in read(file).items()
        }

    def check(self, headers: Sequence[str]) -> Tenant:
        """Return the tenant whose token is in the ``authorization`` metadata of a call.

        Raises:
            Unauthenticated: there is no token, or it is unknown.
        """
        self._reload_if_changed()
        scheme, _, token = (headers[0] if len(headers) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the call needs 'authorization: Bearer TOKEN' in its metadata")
        digest = hashlib.sha256(token.strip().encode()).digest()
        found = None
        # Compare with every digest, each in constant time, so that the time reveals nothing.
        for tenant in self._tenants.values():
            for known in tenant.allowance.digests:
                if hmac.compare_digest(known, digest):
                    found = tenant
        if found is None:
            raise Unauthenticated("the token is unknown")
        return found

    def _reload_if_changed(self) -> None:
        now = self._clock()
        if now - self._checked_at < FILE_CHECK_SECONDS:
            return
        self._checked_at = now
        signature = file_signature([self._file])
        if signature == self._signature:
            return
        self._signature = signature
        try:
            allowances = read(self._file)
        except TokenFileError as error:
            log.error("the new token file is not used: %s", error)
            return
        tenants = {}
        for name, allowance in allowances.items():
            # Keep how much of its quota a tenant has used.
            tenants[name] = self._tenants.get(name) or Tenant(name, allowance, self._clock)
            tenants[name].allowance = allowance
        self._tenants = tenants
        log.info("the token file was reloaded: %d clients", len(tenants))


def read(file: Path) -> dict[str, Allowance]:
    """Read a token file, a TOML file with a table for each tenant::

        [webshop]
        sha256 = ["3a6e…"]        # of its tokens, 64 hexadecimal digits each
        photos_per_second = 2.5   # optional, like the next two
        burst = 10                # photos at once after a pause; default: those of one second
        concurrent = 4            # photos in progress at a time

    Raises:
        TokenFileError: the file cannot be read, or a key is invalid.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenFileError(f"cannot read {file}: {error}") from None
    if not tables:
        # Most likely the file is being written.
        raise TokenFileError(f"{file} names no client")
    return {name: _allowance(f"{file}: {name}", name, table) for name, table in tables.items()}


def _allowance(where: str, name: str, table: Any) -> Allowance:
    if not isinstance(table, dict) or NAME.fullmatch(name) is None:
        raise TokenFileError(f"{where} is not a table named with letters, digits, . _ @ -")
    unknown = sorted(set(table) - {"sha256", "photos_per_second", "burst", "concurrent"})
    if unknown:
        raise TokenFileError(f"{where} has an unknown key: {', '.join(unknown)}")
    digests = table.get("sha256")
    if not isinstance(digests, list) or not all(_is_digest(digest) for digest in digests):
        raise TokenFileError(f"{where} needs sha256, a list of 64 hexadecimal digits each")
    rate = _number(where, table, "photos_per_second", math.inf)
    burst = _number(where, table, "burst", max(1.0, rate))
    concurrent = _number(where, table, "concurrent", math.inf)
    if min(burst, concurrent) < 1:
        raise TokenFileError(f"{where}: burst and concurrent must be at least 1")
    return Allowance([bytes.fromhex(digest) for digest in digests], rate, burst, concurrent)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def _number(where: str, table: Mapping[str, Any], key: str, default: float) -> float:
    value = table.get(key, default)
    with contextlib.suppress(OverflowError):
        if type(value) in (int, float) and float(value) > 0:
            return float(value)
    raise TokenFileError(f"{where}: {key} must be a number over 0")


def new_token(name: str) -> tuple[str, str]:
    """Create a random token; return it and its table for the token file.

    Raises:
        TokenFileError: the name is not one that a token file can have.
    """
    if NAME.fullmatch(name) is None:
        raise TokenFileError(f"{name!r} is not a name of 1 to 64 letters, digits, . _ @ -")
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    return token, f'["{name}"]\nsha256 = ["{digest}"]\n'


def append_entry(file: Path, name: str, table: str) -> None:
    """Append the table of a new client to a token file, which is created if there is none.

    Raises:
        TokenFileError: the file is invalid, or has a table of this name.
        OSError: the file cannot be written.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if text.strip() and name in read(file):
        raise TokenFileError(f"{file} has an entry for {name}; add the new sha256 to its list")
    before = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(descriptor, "w", encoding="utf-8") as opened:
        opened.write(before + table)
