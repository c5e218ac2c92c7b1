"""Reads Dockerfiles as builders do, as far as Amun writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, and the rest of its line, continued lines joined."""

    name: str
    rest: str

    @property
    def text(self) -> str:
        """As it is printed before it is done."""
        return f"{self.name} {self.rest}"

    @property
    def words(self) -> list[str] | None:
        """The words of the exec form, None where it is in another one."""
        if not self.rest.startswith("["):
            return None
        found = json.loads(self.rest)
        assert all(isinstance(word, str) for word in found)
        return list(found)

    @property
    def message(self) -> str:
        """As an error names it."""
        return f"{self.name} {' '.join(self.words)}" if self.words else self.text


def parse(text: str) -> Iterator[Instruction]:
    """All instructions, in order."""
    line = ""
    for part in text.split("\n"):
        if part.lstrip().startswith("#") or (not part.strip() and not line):
            continue
        if part.endswith("\\"):
            line += part[:-1]
            continue
        name, _, rest = (line + part).strip().partition(" ")
        yield Instruction(name.upper(), rest.strip())
        line = ""


def variables(rest: str, known: Mapping[str, str]) -> dict[str, str]:
    """What an ENV instruction sets, with the variables that are set before it filled in."""
    found = {}
    for word in _split(rest):
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f'Syntax error - can\'t find = in "{name}". Must be of the form: name=value')
        found[unquote(name, known)] = unquote(value, known)
    return found


def _split(text: str) -> Iterator[str]:
    """The words of a line; those in quotes stay whole, and quoted."""
    word, quote, escaped = "", "", False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character.isspace():
            if word:
                yield word
            word = ""
            continue
        word += character
    if word:
        yield word


def unquote(text: str, known: Mapping[str, str]) -> str:
    """A word as it is meant: without quotes, with escapes and variables."""
    result, quote, place = "", "", 0
    while place < len(text):
        character = text[place]
        if character == "\\" and quote != "'" and place + 1 < len(text):
            # Within quotes a backslash is one, unless what follows is special there.
            following = text[place + 1]
            result += following if not quote or following in '"\\$' else character + following
            place += 2
        elif character == "$" and quote != "'" and (match := _VARIABLE.match(text, place)):
            result += _filled_in(match, known)
            place = match.end()
        elif character == quote or (not quote and character in "'\""):
            quote = "" if quote else character
            place += 1
        else:
            result += character
            place += 1
    return result


def _filled_in(match: re.Match[str], known: Mapping[str, str]) -> str:
    plain, braced, sign, alternative = match.groups()
    value = known.get(plain or braced, "")
    if sign == "-":
        return value or alternative
    if sign == "+":
        return alternative if value else ""
    return value
