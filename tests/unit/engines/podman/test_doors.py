"""What is forwarded into builds, and by which address they know it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from amun.engines.podman.builds import doors
from amun.engines.podman.builds.doors import Door, Doors
from amun.engines.podman.builds.environment import BuildEnvironment, has_password

HERE = {"localhost": ["127.0.0.1", "::1"], "mirror.lan": ["192.168.7.1"]}
OWN = {"127.0.0.1", "::1", "192.168.7.1"}


def arranged(
    pip: Mapping[str, str] | None = None, proxies: Mapping[str, str] | None = None, only_way: bool = False
) -> tuple[BuildEnvironment, Doors]:
    found = BuildEnvironment(bundle=None, pip=pip or {}, proxies=proxies or {})
    resolve = lambda host: HERE.get(host, [host] if host[0].isdigit() or ":" in host else ["203.0.113.1"])  # noqa: E731
    return doors.arrange(found, only_way=only_way, resolve=resolve, is_own=OWN.__contains__)


def test_what_is_elsewhere_and_has_no_password_needs_no_door() -> None:
    proxies = {"https_proxy": "http://proxy.example:3128", "no_proxy": "intranet"}
    seen, made = arranged({"index-url": "https://index.example/simple"}, proxies)
    assert (seen.pip["index-url"], seen.proxies, made.doors) == ("https://index.example/simple", proxies, ())


def test_a_proxy_of_this_machine_has_its_usual_address() -> None:
    seen, made = arranged(proxies={"http_proxy": "http://localhost:3128", "https_proxy": "http://localhost:3128"})
    assert seen.proxies["https_proxy"] == "http://localhost:3128"
    assert made.doors == (
        Door("proxy", (("127.0.0.1", 3128), ("::1", 3128)), "http://localhost:3128", own=True),
    )  # fmt: skip


def test_a_password_of_a_proxy_stays_outside() -> None:
    seen, made = arranged(proxies={"https_proxy": "http://ada:pw@127.0.0.1:3128", "http_proxy": "ada:pw@proxy:80"})
    assert seen.proxies["https_proxy"] == "http://127.0.0.1:3128"
    assert not has_password(seen)
    assert {door.upstream for door in made.doors} == {"http://ada:pw@127.0.0.1:3128", "http://ada:pw@proxy:80"}


def test_an_index_with_a_password_is_asked_without_it_and_not_by_way_of_a_proxy() -> None:
    url = "https://ada:pw@index.example/team/simple/"
    seen, made = arranged({"index-url": url}, {"https_proxy": "http://127.0.0.1:3128", "no_proxy": "intranet"})
    (door,) = (door for door in made.doors if door.kind == "index")
    ((address, port),) = door.listen
    assert seen.pip["index-url"] == f"http://{address}:{port}/team/simple/"
    assert {"intranet", address} <= set(seen.proxies["no_proxy"].split(","))


def test_pip_s_own_proxy_is_not_asked_for_an_index_that_is_near() -> None:
    seen, _ = arranged({"index-url": "http://127.0.0.1:3141/simple", "proxy": "http://127.0.0.1:3128"})
    assert "PIP_PROXY" not in seen.variables()
    assert seen.proxies["https_proxy"] == "http://127.0.0.1:3128"
    assert "127.0.0.1" in seen.proxies["no_proxy"].split(",")


def test_a_name_that_only_this_machine_knows_is_told_to_builds() -> None:
    seen, made = arranged({"index-url": "http://mirror.lan/simple"})
    assert seen.pip["index-url"] == "http://mirror.lan/simple"
    assert made.hosts == {"mirror.lan": "192.168.7.1"}
    assert doors.adopted(made.doors) == {"192.168.7.1"}


def test_an_encrypted_index_of_this_machine_is_passed_on_unread() -> None:
    seen, made = arranged({"extra-index-url": "https://mirror.lan/a https://mirror.lan/b"})
    assert seen.pip["extra-index-url"] == "https://mirror.lan/a https://mirror.lan/b"
    assert [(door.kind, door.listen) for door in made.doors] == [("relay", (("192.168.7.1", 443),))]


def test_what_cannot_be_forwarded_is_said() -> None:
    seen, made = arranged(proxies={"all_proxy": "socks5://ada:pw@127.0.0.1:1080"})
    assert made.doors == ()
    assert "socks5://127.0.0.1" in made.lost[0]
    assert not has_password(seen)


def test_where_doors_are_the_only_way_every_proxy_has_one() -> None:
    seen, made = arranged(proxies={"https_proxy": "http://proxy.example:3128", "no_proxy": "intranet"}, only_way=True)
    assert {door.upstream for door in made.doors} == {"http://proxy.example:3128", ""}
    assert {urlsplit(seen.proxies[name]).hostname for name in ("http_proxy", "https_proxy")} == {"127.0.0.1"}
    assert "intranet" not in seen.proxies["no_proxy"]


def test_a_certificate_that_pip_does_not_verify_is_not_verified_for_it() -> None:
    pip = {"index-url": "https://ada:pw@a.example/simple", "extra-index-url": "https://ada:pw@b.example/simple"}
    _, made = arranged(pip | {"trusted-host": "a.example"})
    assert {urlsplit(door.upstream).hostname: door.verified for door in made.doors} == {
        "a.example": False,
        "b.example": True,
    }


PASSWORDS = st.text(st.characters(codec="utf-8"), min_size=6).map(lambda text: "Zq" + quote(text, safe=""))
HOSTS = st.sampled_from(["localhost", "127.0.0.1", "[::1]", "mirror.lan", "index.example", "203.0.113.9"])
SCHEMES = st.sampled_from(["http", "https"])
URLS = st.builds("{}://ada:{}@{}{}/simple".format, SCHEMES, PASSWORDS, HOSTS, st.sampled_from(["", ":81", ":8443"]))


@given(index=URLS, extra=st.lists(URLS, max_size=3), proxies=st.lists(URLS, min_size=2, max_size=2), only=st.booleans())
def test_no_password_is_left_in_what_builds_are_told(
    index: str, extra: list[str], proxies: list[str], only: bool
) -> None:
    seen, made = arranged(
        {"index-url": index, "extra-index-url": " ".join(extra)},
        dict(zip(("http_proxy", "https_proxy"), proxies, strict=True)),
        only,
    )
    assert not has_password(seen)
    told = "\n".join(seen.variables().values())
    assert not any((urlsplit(url).password or "") in told for url in (index, *extra, *proxies))
    taken = list(itertools.chain.from_iterable(door.listen for door in made.doors))
    assert len(taken) == len(set(taken))


def test_they_are_the_same_after_being_kept_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    _, made = arranged({"index-url": "https://ada:pw@index.example/simple"}, {"http_proxy": "http://localhost:1"})
    made.write(tmp_path / "doors.json")
    assert Doors.read(tmp_path / "doors.json") == made
    assert (tmp_path / "doors.json").stat().st_mode & 0o077 == 0
