"""Who may call, and how much: bearer tokens (RFC 6750) with rate and concurrency limits.

The server knows tokens by their SHA-256 only. Tokens are random (``protome token`` makes them), so
a fast hash is enough.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import math
import re
import secrets
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protome.errors import OverQuota, Unauthenticated

from .replaced import signature

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
NAME: Final = re.compile(r"[\w.@-]{1,64}")
# When a client may come back that has as many photos in work as it may.
BUSY_SECONDS: Final = 1.0


class TokenFileError(Exception):
    """The file of tokens cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the file says of a client.

    Attributes:
        digests: SHA-256 of its tokens; more than one while they are being replaced.
        rate: photos per second on average.
        burst: photos at once after a pause.
        concurrent: photos worked on at a time.
    """

    digests: Sequence[bytes]
    rate: float = math.inf
    burst: float = math.inf
    concurrent: float = math.inf


class Client:
    """A client and what it has used up; a token bucket that ``rate`` photos a second drip into."""

    def __init__(self, name: str, allowance: Allowance, clock: Callable[[], float]) -> None:
        self.name = name
        self.allowance = allowance
        self._clock = clock
        self._level = allowance.burst
        self._at = clock()
        self._working = 0

    @contextlib.contextmanager
    def photo(self) -> Iterator[None]:
        """Count a photo while the block lasts.

        Raises:
            OverQuota: it is one too many.
        """
        allowance = self.allowance
        if self._working >= allowance.concurrent:
            raise OverQuota(
                f"{self._working} photos are being worked on for {self.name}",
                retry_seconds=BUSY_SECONDS,
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
    """The clients of a file, read again when it changes.

    A file that is broken after a change is reported, and the clients stay as they were.

    Args:
        file: see :func:`read`.
        clock: seconds, never backwards.

    Raises:
        TokenFileError: the file cannot be used.
    """

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._looked = clock()
        self._seen = signature([file])
        self._clients = {
            name: Client(name, allowance, clock) for name, allowance in read(file).items()
        }

    def check(self, headers: Sequence[str]) -> Client:
        """Whose token the ``authorization`` metadata of a call holds.

        Raises:
            Unauthenticated: nobody's.
        """
        self._look()
        scheme, _, token = (headers[0] if len(headers) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the call needs 'authorization: Bearer TOKEN' in its metadata")
        digest = hashlib.sha256(token.strip().encode()).digest()
        found = None
        # Every digest is compared, each in constant time: the time tells nothing.
        for client in self._clients.values():
            for known in client.allowance.digests:
                if hmac.compare_digest(known, digest):
                    found = client
        if found is None:
            raise Unauthenticated("the token is not known")
        return found

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        found = signature([self._file])
        if found == self._seen:
            return
        self._seen = found
        try:
            allowances = read(self._file)
        except TokenFileError as error:
            log.error("the new tokens are not used: %s", error)
            return
        clients = {}
        for name, allowance in allowances.items():
            # What a client has used up does not change with the file.
            clients[name] = self._clients.get(name) or Client(name, allowance, self._clock)
            clients[name].allowance = allowance
        self._clients = clients
        log.info("the tokens were replaced: %d clients", len(clients))


def read(file: Path) -> dict[str, Allowance]:
    """Read a TOML file with a table for each client::

        [webshop]
        sha256 = ["3a6e…"]        # of its tokens, 64 hexadecimal digits each
        photos_per_second = 2.5   # optional, as the next two
        burst = 10                # photos at once after a pause; without, a second's worth
        concurrent = 4            # photos worked on at a time

    Raises:
        TokenFileError: it cannot be read, or a key is wrong.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenFileError(f"cannot read {file}: {error}") from None
    if not tables:
        # Most likely it is being written.
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
    """A token, and the table of it for the file."""
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    return token, f'[{name}]\nsha256 = ["{digest}"]\n'
