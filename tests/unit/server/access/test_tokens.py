"""Tokens and quotas, with a fake clock."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from protome.errors import OverQuota, Unauthenticated
from protome.server.access.tokens import TokenFileError, Tokens, append_entry, new_token, read


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def table(name: str, token: str, *lines: str) -> str:
    digest = hashlib.sha256(token.encode()).hexdigest()
    return "\n".join([f"[{name}]", f'sha256 = ["{digest}"]', *lines, ""])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


def rewrite(file: Path, text: str) -> None:
    """Replace the file as a deployment does, at another time."""
    part = file.with_suffix(".part")
    part.write_text(text)
    os.replace(part, file)


def test_each_token_belongs_to_its_tenant(file: Path) -> None:
    file.write_text(table("shop", "s3cret") + table("lab", "other"))
    tokens = Tokens(file, Clock())
    assert tokens.check(["Bearer s3cret"]).name == "shop"
    assert tokens.check(["bearer other"]).name == "lab"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["Bearer wrong"],
        ["s3cret"],
        ["Basic s3cret"],
        ["Bearer s3cret", "Bearer s3cret"],
    ],
)
def test_other_headers_are_unauthenticated(file: Path, headers: list[str]) -> None:
    file.write_text(table("shop", "s3cret"))
    with pytest.raises(Unauthenticated):
        Tokens(file, Clock()).check(headers)


def test_a_digest_is_not_accepted_as_a_token(file: Path) -> None:
    file.write_text(table("shop", "s3cret"))
    with pytest.raises(Unauthenticated):
        Tokens(file, Clock()).check(["Bearer " + hashlib.sha256(b"s3cret").hexdigest()])


def test_a_new_token_is_accepted(file: Path) -> None:
    token, text = new_token("shop")
    file.write_text(text)
    assert Tokens(file, Clock()).check([f"Bearer {token}"]).name == "shop"
    assert token not in text


@pytest.mark.parametrize("name", ["a.shop@example-1.org", "A_1", "x" * 64])
def test_every_valid_name_gets_an_entry(file: Path, name: str) -> None:
    token, text = new_token(name)
    file.write_text(text)
    assert Tokens(file, Clock()).check([f"Bearer {token}"]).name == name


@pytest.mark.parametrize("name", ["", "a shop", 'a"]', "a\nb", "x" * 65])
def test_other_names_get_no_token(name: str) -> None:
    with pytest.raises(TokenFileError, match="name"):
        new_token(name)


@pytest.mark.parametrize("before", [None, "", "\n", "end", "end\n"])
def test_an_entry_is_appended(file: Path, before: str | None) -> None:
    if before is not None:
        text = before.replace("end", table("lab", "other"))
        file.write_text(text if before.endswith("\n") else text.rstrip("\n"))
    token, entry = new_token("shop")
    append_entry(file, "shop", entry)
    tokens = Tokens(file, Clock())
    assert tokens.check([f"Bearer {token}"]).name == "shop"
    if before is None:
        assert file.stat().st_mode & 0o777 == 0o600
    elif before.startswith("end"):
        assert tokens.check(["Bearer other"]).name == "lab"


@pytest.mark.parametrize("text", [table("shop", "s3cret"), "no toml ["])
def test_no_entry_is_appended_to_a_file_that_would_be_invalid(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(TokenFileError, match=r"tokens\.toml"):
        append_entry(file, "shop", new_token("shop")[1])
    assert file.read_text() == text


def test_a_replaced_file_is_read_within_a_second(file: Path) -> None:
    file.write_text(table("shop", "old"))
    clock = Clock()
    tokens = Tokens(file, clock)
    rewrite(file, table("shop", "new"))
    clock.now += 1.1
    assert tokens.check(["Bearer new"]).name == "shop"
    with pytest.raises(Unauthenticated):
        tokens.check(["Bearer old"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no toml [",
        "[shop]\n",
        "[shop]\nsha256 = [1]\n",
        "a = " + "[" * 100_000,
        "[shop]\nsha256 = []\nconcurrent = " + "9" * 400,
    ],
    ids=["empty", "no TOML", "nothing", "numbers", "deep", "large"],
)
def test_an_invalid_file_keeps_the_tenants(
    file: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(table("shop", "s3cret"))
    clock = Clock()
    tokens = Tokens(file, clock)
    rewrite(file, text)
    for _ in range(3):
        clock.now += 1.1
        assert tokens.check(["Bearer s3cret"]).name == "shop"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    rewrite(file, table("lab", "s3cret"))
    clock.now += 1.1
    assert tokens.check(["Bearer s3cret"]).name == "lab"


@pytest.mark.parametrize(
    "line",
    [
        "photos_per_second = 0",
        "photos_per_second = -1",
        "photos_per_second = nan",
        "burst = 0.5",
        "concurrent = true",
        'concurrent = "4"',
        "conurrent = 4",
    ],
)
def test_an_invalid_key_is_named(file: Path, line: str) -> None:
    file.write_text(table("shop", "s3cret", line))
    with pytest.raises(TokenFileError, match=line.split(" ")[0]):
        read(file)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(TokenFileError, match=r"tokens\.toml"):
        Tokens(file, Clock())


def test_photos_over_the_rate_get_a_retry_delay(file: Path) -> None:
    file.write_text(table("shop", "s3cret", "photos_per_second = 2", "burst = 3"))
    clock = Clock()
    client = Tokens(file, clock).check(["Bearer s3cret"])

    def taken() -> int:
        for count in range(10):
            try:
                with client.admit_photo():
                    pass
            except OverQuota as error:
                waits.append(error.retry_seconds or 0.0)
                return count
        return 10

    waits: list[float] = []
    assert taken() == 3
    assert waits[-1] == pytest.approx(0.5)
    clock.now += 0.25
    assert taken() == 0
    assert waits[-1] == pytest.approx(0.25)
    # As long as it says is long enough.
    clock.now += waits[-1]
    assert taken() == 1
    # A long pause saves up no more than the burst.
    clock.now += 1000
    assert taken() == 3


def test_concurrent_photos_are_limited(file: Path) -> None:
    file.write_text(table("shop", "s3cret", "concurrent = 2"))
    client = Tokens(file, Clock()).check(["Bearer s3cret"])
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(client.admit_photo())
        with pytest.raises(OverQuota) as caught, client.admit_photo():
            pass
        assert caught.value.retry_seconds
        assert caught.value.facts == {"concurrent": "2"}
    with pytest.raises(ZeroDivisionError), client.admit_photo():
        raise ZeroDivisionError
    with client.admit_photo(), client.admit_photo():
        pass


def test_a_replaced_file_keeps_the_used_quota(file: Path) -> None:
    text = table("shop", "s3cret", "photos_per_second = 0.001", "burst = 1")
    file.write_text(text)
    clock = Clock()
    tokens = Tokens(file, clock)
    with tokens.check(["Bearer s3cret"]).admit_photo():
        pass
    rewrite(file, text + table("lab", "other"))
    clock.now += 1.1
    client = tokens.check(["Bearer s3cret"])
    with pytest.raises(OverQuota), client.admit_photo():
        pass
