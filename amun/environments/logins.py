"""Users, passwords and tokens in URLs: split off where a specification comes in, and given to the build alone.

They are in sources of a Pipfile or its lock, in entries of these, in requirements and in the URL of a script, as RFC
3986 (3.2.1) writes them: ``https://USER:PASSWORD@HOST/``, percent-encoded. What is kept and shown has none of them. A
build reads them from a netrc file (https://www.gnu.org/software/inetutils/manual/html_node/The-_002enetrc-file.html),
in which there is one for each host, whatever the port.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from amun.errors import InvalidSpecification, Problem
from amun.model.login import Login
from amun.validation.rules import Path

FIELDS = ("python_packages", "python", "script")
"""Where there may be URLs that are asked with a user and password."""

# The scheme, perhaps after that of a version control system, and all before the last "@" of the authority.
_URL = re.compile(r"(?P<scheme>(?:[a-z]{2,3}\+)?https?://)(?P<user>[^\s/?#]*)@", re.IGNORECASE)

_IN_JSON = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*:/{1,3})"
    r'(?:(?:[^\s/?#"\\]|\\.)*|(?:[^\s/?#"\\:@]|\\.)*:(?!\d+[/?#"\s])(?:[^\s"\\]|\\.){1,256})@'
    r'|(?<=")[\w.-]+:(?:[^\s/?#"\\@]|\\.)+@(?!sha\d+:)(?=[\w.-]+(?::\d+)?/)',
    re.IGNORECASE,
)
"""What may be a user and password in a JSON text, where a quotation mark ends a string: in a URL of any scheme, even if
a slash is in the password, as in no valid one; and before the name of an image."""

_PLAIN = re.compile(r"[!-~]+")
_UNFIT = re.compile(r"[\"'\\]|^#")
"""Characters that programs read differently in a netrc file, or not at all."""


def split(document: Mapping[str, Any], json_path: Callable[[Path], str]) -> tuple[Mapping[str, Any], tuple[Login, ...]]:
    """Return a valid specification without what its URLs are asked with, and that.

    Raises `InvalidSpecification` for a host with two of them, and for characters that a netrc file cannot hold.
    """
    found: dict[str, tuple[Login, Path]] = {}
    problems: list[Problem] = []

    def note(path: Path, login: Login) -> None:
        kept, where = found.setdefault(login.host, (login, path))
        if not (_is_fit(login.user) and (login.password == "" or _is_fit(login.password))):
            message = "must have a user, or a user and password, without white space, quotation marks or backslashes"
            problems.append(Problem(json_path(path), message))
        elif kept != login:
            message = f"must be asked with the same user and password as {json_path(where)}: there is one for each host"
            problems.append(Problem(json_path(path), message))

    def without(value: Any, path: Path) -> Any:
        if isinstance(value, str):
            return _URL.sub(lambda url: _noted(url, value, path, note), value)
        if isinstance(value, Mapping):
            return {key: without(item, (*path, key)) for key, item in value.items()}
        return [without(item, (*path, index)) for index, item in enumerate(value)] if isinstance(value, list) else value

    split_off = {name: without(document[name], (name,)) for name in FIELDS if name != "script" and name in document}
    if isinstance(script := document.get("script"), str) and _URL.match(script.strip()):
        split_off["script"] = _URL.sub(lambda url: url["scheme"], script, count=1)  # it is fetched with it, and done
    if problems:
        raise InvalidSpecification(problems)
    return {**document, **split_off}, tuple(login for login, _ in found.values())


def hidden(json_text: str) -> str:
    """A JSON text without what the URLs in it are asked with."""
    return _IN_JSON.sub(lambda url: url["scheme"] or "", json_text)


def _noted(url: re.Match[str], text: str, path: Path, note: Callable[[Path, Login], None]) -> str:
    user, _, password = url["user"].partition(":")
    try:
        host = urlsplit(text[url.start("scheme") :].split()[0]).hostname
    except ValueError:
        host = None
    if host and (user or password):
        note(path, Login(host, unquote(user), unquote(password)))
    return url["scheme"]


def _is_fit(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text)) and not _UNFIT.search(text)


def owner_digest(owner: str | None) -> str:
    """What keeps an environment that was made with logins apart from those of all others, also in a builder's cache."""
    return hashlib.sha256(b"\0" if owner is None else owner.encode()).hexdigest()[:32]


def netrc(logins: Iterable[Login]) -> str:
    """The file that pip, uv and curl read, and git by a helper of ours."""
    return "".join(
        f"machine {one.host} login {one.user}" + (f" password {one.password}" if one.password else "") + "\n"
        for one in logins
    )


def secrets(logins: Iterable[Login]) -> list[str]:
    """What must not be seen of them, as it may be written in a log."""
    parts = [part for login in logins for part in (login.password or login.user,) if part]
    return list(dict.fromkeys(form for part in parts for form in (part, quote(part, safe=""))))
