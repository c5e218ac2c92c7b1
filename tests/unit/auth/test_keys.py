"""Static keys: what their file says, as it is at the moment, and how `amun key` makes them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from unittest import mock

import pytest
from typer.testing import CliRunner

from amun.auth import api_keys
from amun.auth.api_keys import Entry, KeyFile, new_key, parse
from amun.auth.callers import Caller
from amun.cli import app
from amun.errors import EngineUnavailable, Unauthenticated
from tests.support.service_with_keys import Guarded

DIGEST = hashlib.sha256(b"key").hexdigest()


def test_a_file_has_a_line_for_each_key() -> None:
    text = f"""
    # people
    alice sha256:{DIGEST}
    alice   sha256:{"0" * 64}   # the new one
    robot@ci:7 sha256:{"AB" * 32} admin
    """
    entries, wrong = parse(text)
    assert wrong == []
    assert entries == [
        Entry("alice", bytes.fromhex(DIGEST)),
        Entry("alice", bytes(32)),
        Entry("robot@ci:7", b"\xab" * 32, admin=True),
    ]
    assert parse("\n".join(map(str, entries)))[0] == entries


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        f"alice {DIGEST}",
        f"alice sha256:{DIGEST[:-1]}",
        f"alice sha256:{DIGEST}0",
        f"alice md5:{DIGEST}",
        f"alice sha256:{DIGEST} root",
        f"alice sha256:{DIGEST} admin admin",
        f"alice sha256:{DIGEST}admin",
        f"sha256:{DIGEST}",
        f"a b sha256:{DIGEST}",
        f"-a sha256:{DIGEST}",
        f"{'a' * 129} sha256:{DIGEST}",
        f"älice sha256:{DIGEST}",
        "alice amun_0123",
    ],
)
def test_a_line_that_is_none_is_named_by_its_number(line: str, tmp_path: Path) -> None:
    assert parse(f"\n{line}\n") == ([], [2])
    (tmp_path / "keys").write_text(f"\n{line}\n")
    with pytest.raises(ValueError, match=r"line 2 of .*/keys is not `NAME sha256:HEX \[admin\]`") as raised:
        KeyFile(tmp_path / "keys").inspect()
    assert "amun_0123" not in str(raised.value)


def test_a_new_key_is_random_and_its_line_is_of_use(tmp_path: Path) -> None:
    made = [new_key("alice"), new_key("alice", admin=True)]
    (tmp_path / "keys").write_text("".join(f"{entry}\n" for _, entry in made))
    file = KeyFile(tmp_path / "keys")
    file.inspect()
    assert file.review(made[0][0]) == Caller("alice")
    assert file.review(made[1][0]) == Caller("alice", admin=True)
    assert len(made[0][0]) > 40
    assert made[0][0] != made[1][0]
    for name in ("", "a b", "é", "a/b", "a\nb"):
        with pytest.raises(ValueError, match="cannot be the name"):
            new_key(name)


def test_a_key_is_known_by_its_digest_alone(tmp_path: Path) -> None:
    key, entry = new_key("alice")
    (tmp_path / "keys").write_text(str(entry))
    file = KeyFile(tmp_path / "keys")
    for other in (str(entry), entry.digest.hex(), f"sha256:{entry.digest.hex()}", "alice", key[:-1], key + "x", ""):
        with pytest.raises(Unauthenticated):
            file.review(other)


def test_names_that_see_all_may_be_in_a_setting_too(tmp_path: Path) -> None:
    key, entry = new_key("alice")
    (tmp_path / "keys").write_text(str(entry))
    assert KeyFile(tmp_path / "keys", admins=["alice"]).review(key).admin
    assert not KeyFile(tmp_path / "keys", admins=["bob"]).review(key).admin


@pytest.mark.parametrize("place", [0, 57, 99, None])
def test_every_key_is_compared_in_constant_time_wherever_the_right_one_is(tmp_path: Path, place: int | None) -> None:
    key, entry = new_key("alice")
    entries = [new_key(f"caller{number}")[1] for number in range(100)]
    if place is not None:
        entries[place] = entry
    (tmp_path / "keys").write_text("\n".join(map(str, entries)))
    file = KeyFile(tmp_path / "keys")
    with mock.patch.object(api_keys.hmac, "compare_digest", wraps=api_keys.hmac.compare_digest) as compared:
        if place is None:
            with pytest.raises(Unauthenticated):
                file.review(key)
        else:
            assert file.review(key).name == "alice"
    assert compared.call_count == 100
    assert {len(argument) for call in compared.call_args_list for argument in call.args} == {32}


# -- the file changes -------------------------------------------------------------------------------------------------


def test_keys_come_and_go_with_the_file_while_the_service_runs(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    carol, line = new_key("carol")

    def status(who: str) -> int:
        return int(guarded.ask(who, "GET", "/api/v1/version").status_code)

    assert [status(who) for who in ("alice", "bob", carol)] == [200, 200, 401]
    lines = guarded.file.read_text().splitlines()
    guarded.file.write_text("\n".join([*lines[1:], str(line)]))
    assert [status(who) for who in ("alice", "bob", carol)] == [401, 200, 200]


def test_a_mounted_secret_is_read_again_when_its_link_is_moved(tmp_path: Path) -> None:
    """The kubelet writes the new files into a directory of their own, and renames a link to it over the old one."""
    (old, first), (new, second) = new_key("alice"), new_key("alice")
    for name, entry in (("..1", first), ("..2", second)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys").write_text(str(entry))
        os.utime(tmp_path / name / "keys", (0, 0))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys").symlink_to("..data/keys")
    file = KeyFile(tmp_path / "keys")
    assert file.review(old).name == "alice"
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert file.review(new).name == "alice"
    with pytest.raises(Unauthenticated):
        file.review(old)


def test_a_line_that_went_wrong_keeps_nobody_else_out_and_lets_nobody_in(tmp_path: Path) -> None:
    (alice, first), (bob, second) = new_key("alice"), new_key("bob")
    path = tmp_path / "keys"
    path.write_text(f"{first}\n{second}\n")
    file = KeyFile(path)
    assert file.review(bob).name == "bob"
    with mock.patch.object(api_keys, "logger") as log:
        path.write_text(f"{first}x\n{second}\n")
        assert file.review(bob).name == "bob"
        with pytest.raises(Unauthenticated):
            file.review(alice)
    assert log.error.call_args.kwargs == {"file": str(path), "line": 1}


def test_without_the_file_nobody_comes_in_and_it_is_said_to_be_the_services_fault(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 200
    content = guarded.file.read_text()
    guarded.file.unlink()
    refused = guarded.ask("alice", "GET", "/api/v1/version")
    assert (refused.status_code, refused.json()["error"]) == (503, "The API keys cannot be read now.")
    assert guarded.ask(None, "GET", "/readiness").json()["error"] == "The API keys cannot be read now."
    guarded.file.write_bytes(b"\xff\xfe")
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 503
    guarded.file.write_text(content)
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 200


def test_a_file_that_cannot_be_used_at_start_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        KeyFile(tmp_path / "none").inspect()
    (tmp_path / "keys").write_text("# nobody yet\n")
    with pytest.raises(ValueError, match="has no key in it"):
        KeyFile(tmp_path / "keys").inspect()
    with pytest.raises(EngineUnavailable):
        KeyFile(tmp_path).review("x")


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("admin", [False, True])
def test_amun_key_prints_a_key_once_and_the_line_for_the_file(tmp_path: Path, admin: bool) -> None:
    result = CliRunner().invoke(app, ["key", "alice", *(["--admin"] if admin else [])])
    assert result.exit_code == 0
    key, line = result.stdout.splitlines()
    assert result.output.count(key) == 1
    (tmp_path / "keys").write_text(line)
    assert KeyFile(tmp_path / "keys").review(key) == Caller("alice", admin=admin)


def test_amun_key_as_json_and_for_what_is_no_name() -> None:
    result = CliRunner().invoke(app, ["key", "alice", "--json"])
    document = json.loads(result.stdout)
    assert set(document) == {"name", "key", "line"}
    assert parse(document["line"])[0][0].digest == hashlib.sha256(document["key"].encode()).digest()
    refused = CliRunner().invoke(app, ["key", "no name"])
    assert refused.exit_code == 2
    assert "cannot be the name of a caller" in refused.stderr
