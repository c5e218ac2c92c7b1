"""What the tools that builds run say when they fail: a table from the pattern of their words to one sentence.

A sentence is what a person would quote of the log to another, in the tool's own words. To add one: a row in `TABLE`,
above what it is more telling than, and the log as a case in tests/cases/builds, with the sentence expected of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

Sentence = str | Callable[[re.Match[str]], str | None]
"""A template for `re.Match.expand`, or a function that may find nothing in it."""

_MOST = 3  # of several lines of one kind are quoted
_LOOKED_AT = 50  # places where a row applies
_LINE = 1000  # characters of a line that are looked at, so that no row takes long; of pip's lists of versions more

# Colours; the frames that pip, uv and pipenv draw around what the tools below them said.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FRAME = re.compile(r"^[ \t]*(?:[│┃╎|] ?|\[pipenv\.exceptions\.\w+\]: ?)+")
_VERSIONS = ("ERROR: Ignored the following versions", "ERROR: Could not find a version", "  Could not find a version")
_NOISE = re.compile(
    r"time=\"|\[Warning\]| *\[notice\]|debconf: |--> |[IWE]\d{4} "
    r"| *note: | *hint: (?:See|This is) |╰─> See above| *\[end of output\]|Choose from above solutions"
    r"|Continue\? \[|Abort, retry, ignore\?|Unblock or discard\?|Please see the above error"
    r"|Problem occurred during or after|Installation has been aborted|\(try to add '--|rpm: |ERROR: ld\.so: "
)
_FAILED = re.compile(
    r"^ *(?:ERROR: )?Failed building wheel for (\S+)|^╰─> (?!See )(\S+)$|^ERROR: Failed to build '(\S+)' when ",
    re.MULTILINE,
)
_BEGUN = re.compile(
    r"^ *\S+ Failed to (?:build|download|download and build) `([^`\n]+)|^Collecting ([^\s@]+)",
    re.MULTILINE,
)


def sentence(output: str) -> str:
    """Return the sentence that says why a step with this output failed; empty where it says nothing."""
    text = _plain(output) + "\n"
    for pattern, template in TABLE:
        if said := list(itertools.islice(_said(pattern, template, text), _MOST)):
            return "; ".join(said)
    for kind in ANYTHING:
        if lines := kind.findall(text):
            return _line(lines[-1])
    return ""


def _plain(output: str) -> str:
    """The output without colours, frames and noise, in lines that are not too long to look through."""
    lines = (_FRAME.sub("", line) for line in _ESCAPES.sub("", output.replace("\r", "\n")).split("\n"))
    kept = (line.rstrip() for line in lines if not _NOISE.match(line))
    return "\n".join(line[: 10 * _LINE if line.startswith(_VERSIONS) else _LINE] for line in kept)


def _said(pattern: re.Pattern[str], template: Sentence, text: str) -> Iterator[str]:
    """What a row has to say, each of it once."""
    told = set()
    for match in itertools.islice(pattern.finditer(text), _LOOKED_AT):
        found = match.expand(template) if isinstance(template, str) else template(match)
        if found and (line := _line(found)) not in told:
            told.add(line)
            yield line


def _line(text: str) -> str:
    """Make one line of several, with commas between what stood in lines of its own."""
    lines = [" ".join(line.split()).lstrip("└├─│- ") for line in text.splitlines()]
    return ", ".join(line for line in lines if line).replace(":,", ":").rstrip(" .,:")


def _building(match: re.Match[str]) -> str:
    """The line, and which Python package was being built."""
    return _of_package(match[1], match)


def _collecting(match: re.Match[str]) -> str:
    """The line, and which Python package was being fetched."""
    return _of_package(match[1], match, "collecting")


def _of_package(line: str, match: re.Match[str], doing: str = "building") -> str:
    said, package = line.rstrip(" ,.:"), _package(match)
    named = re.search(rf"(?<![\w./-]){re.escape(package)}(?![\w/-]|\.\w)", said)  # not as part of a path
    return said if not package or named else f"{said} ({doing} {package})"


def _package(match: re.Match[str]) -> str:
    """The package that was being built there: the next that fails by name, or the last one begun."""
    found = _FAILED.search(match.string, match.end()) or last_match(_BEGUN, match.string[: match.start()])
    return re.split(r"[^\w.-]", next(filter(None, found.groups()), ""))[0] if found else ""


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return the last match, which is what ended the build; the same words may stand in what a tool printed before."""
    last = None
    for last in pattern.finditer(text):  # noqa: B007
        pass
    return last


def _versions(match: re.Match[str]) -> str | None:
    """No version of a package fits: what there is, and what there would be for another Python.

    pip 21 says the same of one that it could not build, and has said why before.
    """
    if "Command errored out" in match.string:
        return None
    said = f"ERROR: No matching distribution found for {match['wanted']}"
    exact, there = match["wanted"].partition("==")[2], match["there"].strip() or "none"
    for version, why in reversed(list(_ignored(match["ignored"]))):
        if version == exact or (not exact and there == "none"):
            return f"{said}: {version} {why}"
    if match[0].startswith(" "):  # what pip runs to build a package: for itself it had what was asked for
        said = _of_package(said, match)
    if there == "none":
        return said
    versions = there.split(", ")
    return f"{said} (from versions: {there if len(versions) < 4 else f'{versions[0]} … {versions[-1]}'})"


def _ignored(lines: str) -> Iterator[tuple[str, str]]:
    """Of pip's lines on versions that it left out: each version, and why."""
    for yanked, versions in re.findall(r"ERROR: Ignored the following (yanked )?versions[^:]*: (.*)", lines):
        for entry in versions.split(", " if yanked else "; "):
            version, _, python = entry.partition(" Requires-Python ")
            yield version, "was yanked" if yanked else f"requires Python {python}"


def _no_match(match: re.Match[str]) -> str | None:
    return None if "Command errored out" in match.string else match[1]


def _unreachable(match: re.Match[str]) -> str | None:
    """pip tried for the last time, and then had nothing: what urllib3 says, of which the last part is the system's."""
    if "(from versions: none)" not in match.string[match.end() :]:
        return None
    cause = re.sub(r"^.*<[^>]*>[:,] ", "", match[2]).strip("\"', ")
    return f"The package index cannot be reached: {cause if ' ' in cause else match[1]}"


def _skipped(match: re.Match[str]) -> str | None:
    """Something else than an index was there, and then pip had nothing."""
    return match[1] if "(from versions: none)" in match.string[match.end() :] else None


_TRACEBACK = re.compile(
    r"^( *)(?:[\w.]+: )?Traceback \(most recent call last\):\n(?:\1 +\S.*\n|\n)*"
    r"\1([A-Za-z_][\w.]*(?::(?!.* \(most recent call last\):$).*)?)$",
    re.MULTILINE,
)


def _raised(match: re.Match[str]) -> str | None:
    """The exception that the last traceback ends with."""
    last = last_match(_TRACEBACK, match[1])
    return last[2] if last else None


def _raised_by_pip(match: re.Match[str]) -> str | None:
    """The exception that pip itself ended with, which does not say at which package."""
    said = _raised(match)
    return said and _of_package(said, match, "collecting")


_DRAWING = re.compile(r"[ \d]*\||[ ^]*$")  # of the place in a text at which it is wrong


def _causes(match: re.Match[str]) -> str:
    """What was being done, of the chain of causes the first and the last, and uv's hint: which package, and why."""
    causes = re.split(r"^ *[Cc]ause(?:d by)?: ", match[2], flags=re.MULTILINE)[1:]
    lines = [[line.strip() for line in cause.splitlines() if not _DRAWING.match(line)] for cause in causes]
    why = [" ".join(line for line in cause if line not in match[1]) for cause in (lines[0], lines[-1])]
    said = ": ".join(line.rstrip(".") for line in dict.fromkeys((match[1], *why)))
    return f"{said} ({' '.join(match[3].split())})" if match[3] else said


def _diagnosis(match: re.Match[str]) -> str:
    """What pip found wrong, and the first words of why; which package that is about."""
    context = " ".join((match[2] or "").split()).partition(". ")[0]
    return _of_package(f"{match[1].rstrip('.')}: {context}" if context else match[1], match, "collecting")


# Not the names that pip has for kinds of errors, such as subprocess-exited-with-error.
_ERROR = re.compile(r"(?:\w+ )?(?:[Ee]rror|ERROR)\b(?!: [a-z]+(?:-[a-z]+){2,}$)")


def _own_error(match: re.Match[str]) -> str | None:
    """What the program of a package ended with: the exception, or its last word on an error."""
    errors = [line for line in map(str.strip, match[1].splitlines()) if _ERROR.match(line)]
    said = _raised(match) or (errors[-1] if errors else None)
    return _of_package(said, match) if said else None


def _own_words(match: re.Match[str]) -> str | None:
    """The first words of the program of a package that has none on an error."""
    lines = [line.strip() for line in match[1].splitlines() if line.strip()]
    return _of_package(" ".join(lines[:2]), match) if lines else None


def _row(pattern: str, said: Sentence = r"\1") -> tuple[re.Pattern[str], Sentence]:
    return re.compile(pattern, re.MULTILINE), said


# What pip and uv quote of the program of a package.
_OUTPUT = (
    r"^ *(?:╰─> \[\d+ lines? of output\]|\[std(?:out|err)\]|Complete output (?:\(\d+ lines?\)|from command .*):)\n"
    r"((?: {2,}(?!-----|ERROR: Failed building).*\n|\n)+)"
)

# In patterns: no \s, which goes over ends of lines, and no two unlimited `.*` in one line: the output is a stranger's.
TABLE: tuple[tuple[re.Pattern[str], Sentence], ...] = (
    # What Amun's own programs of a build found
    _row(r"^(ERROR: (?:a script of the package \S+ failed: |\S+ says that it has installed everything, but ).*)"),
    _row(r"^(ERROR: \S+ ended well, but .*)"),
    # No space
    _row(r"^(.*(?:No space left on device|[Dd]isk quota exceeded).*)"),
    _row(r"^ *(E: You don't have enough free space in .*|At least \S+ more space needed on the .*)"),
    # Hashes
    _row(r"^ *(ERROR: THESE PACKAGES DO NOT MATCH THE HASHES).*\n+ +(\S+) from ", r"\1: \2"),
    _row(r"^ *(ERROR: THESE PACKAGES DO NOT MATCH THE HASHES)"),
    _row(r"(Hash mismatch for `[^`\n]+`)", r"cause: \1"),
    _row(r"^ *(ERROR: (?:Hashes are required in|In) --require-hashes mode, [^.\n]*).*\n+((?: +\S.*\n?)+)", r"\1: \2"),
    _row(r"^ *(ERROR: Can't verify hashes for these .*\n+(?: +\S.*\n?)+)"),
    # The network, where it decided
    _row(
        r"^WARNING: Retrying \(Retry\(total=0,.{0,200}?after connection broken by '(\w+)\((.*)\)': \S+$", _unreachable
    ),
    _row(r"^(?:WARNING: )?(Could not fetch URL \S+: There was a problem .{1,40}?): .*(\[SSL: [^'\n]*)", r"\1: \2"),
    _row(r"^(?:WARNING: )?(Could not fetch URL .*)"),
    _row(r"^WARNING: (Skipping page \S+ because .*)", _skipped),
    _row(
        r"^E: (Failed to fetch \S+ .{0,300}?"
        r"(?:resolv|onnect|timed out|ertificate|[Pp]roxy|[Hh]andshake|unreachable).*)"
    ),
    _row(r"((?:curl: \(\d+\)|wget: unable to resolve|wget: bad address) .*)"),
    _row(r"^(Conda(?:HTTP|SSL|Connection)Error: .*)"),
    _row(r"^ *(error: cannot run \S+: No such file or directory)", _collecting),
    _row(
        r"^ *((?:fatal: (?:unable to access|repository|couldn't|[Cc]ould not read (?:User|Pass)|Authentication|remote"
        r"|reference|unable to connect)|error: pathspec).*)",
        _collecting,
    ),
    _row(r"^ *(\S.*\n *fatal: [Cc]ould not .*)", _collecting),
    # Signatures of repositories and packages
    _row(r"^W: (GPG error: .*)\n(?:[WN]: .*\n){0,9}E: The repository '.*' is not signed"),
    _row(r"^E: ((?:GPG error: |An error occurred during the signature verification).*)"),
    _row(r"^E: (The repository '.*' (?:is not signed|does not have a Release file|no longer has a Release file).*)"),
    _row(r"^E: (Release file for .*)"),
    _row(r"^(Public key for .* is not installed|.*GPG check FAILED.*|.*Signature verification failed .*)"),
    # Scripts and files of native packages
    _row(r"^(dpkg: error processing (?:package|archive) .*\n.+)"),
    _row(r"^(dpkg: dependency problems .*\n(?: .+\n?)+)"),
    _row(r"^(Errors were encountered while processing:\n(?: \S+\n)+)"),
    # Native packages that do not go together, or lack what they need
    _row(r"(nothing provides .{1,300}? needed by .+)$"),
    _row(r"^Error: Package: (.*)\n +(Requires: .*)$", r"\1 \2"),
    _row(r"^[ -]*(?:Problem(?: \d+)?: )?(?:\d+: )?((?:package )?\S+ conflicts with .+ provided by .+)$"),
    _row(
        r"^[ -]*(?:Problem(?: \d+)?: )?(?:\d+: )?"
        r"((?:cannot install both|package \S+ obsoletes|package .{1,300}? is filtered out"
        r"|nothing provides).*)$"
    ),
    _row(r"^ *([Ff]ile /\S+ conflicts (?:between|with) .*)"),
    _row(
        r"^File (/\S+)\n +from install of\n +(.*)\n +conflicts with file from (?:install of|package)\n +(.*)",
        r"file \1 from install of \2 conflicts with file from \3",
    ),
    _row(r"^ *Problem(?: \d+)?: (?:\d+: )?(?:conflicting requests\n)?(.*(?:\n *- .*)?)"),
    _row(r"^The following packages have unmet dependencies:\n((?: +\S.*\n)+)"),
    _row(r"^E: (Unable to satisfy dependencies\..*\n(?: {3}.*\n?)*)"),
    _row(r"^ *(\S+-r\d+):\n *((?:breaks|conflicts|masked in): .*)", r"\1 \2"),
    # Native packages that there are not, since no list of them could be had
    _row(r"^ *(?:- )?((?:Status code: \d+|Curl error \(\d+\)).*)"),
    _row(r"^ *(Error: Cannot retrieve repository metadata .*)"),
    _row(r"^(Cannot find a valid baseurl for repo: .*)"),
    _row(r"(\[Errno 14\] .*)"),
    _row(r"^(Download \(curl\) error for .*\n(?:Error code:.*\n)?Error message:.*)"),
    _row(r"^Repository '(.*)' is invalid\.\n(.*)", r"Repository '\1' is invalid: \2"),
    _row(r"^W: ((?:GPG error: |An error occurred during the signature verification).*)"),
    _row(r"^W: (Skipping acquire of configured file .* doesn't have the component .*)"),
    _row(
        r"^W: (Failed to fetch \S+ .{0,300}?"
        r"(?:resolv|onnect|timed out|ertificate|[Pp]roxy|[Hh]andshake|unreachable).*)"
    ),
    _row(
        r"^(?:WARNING|ERROR): (?:Ignoring |fetching |opening |updating and opening )?"
        r"(https?://\S+: (?:DNS|temporary error|"
        r"network|TLS|remote server|operation timed out|[Cc]onnection|Permission denied|UNTRUSTED|BAD|No such file).*)"
    ),
    # Native packages that there are not
    _row(
        r"^(E: (?:Unable to locate package |Package '.*' has no installation candidate|Version '.*' for "
        r"|Release '.*' for "
        r"|Couldn't find task ).*)"
    ),
    _row(r"^ *(\S.* \((?:no such package|missing)\)):?$"),
    _row(r"^(No provider of .* found)"),
    _row(r"^([Ee]rror: (?:Unable to find a match: |No package matches ).*)"),
    _row(
        r"^(No match for argument: .*|No package \S+ available\.?|Warning: Group .* does not exist\."
        r"|Module or Group '.*' is not available\.)"
    ),
    # Native packages that cannot be had
    _row(r"^(E: Failed to fetch .*)"),
    _row(r"^(Package \".*\" from local repository .* has incorrect checksum)"),
    _row(r"^(Package \S+ .*seems to be corrupted during transfer)"),
    _row(r"^(File '.*' not found on medium .*)"),
    _row(r"^(Error: Transaction (?:test|check) error:\n(?: +.+\n?)+)"),
    _row(r"^(ERROR: .*: trying to overwrite .*)"),
    _row(r"^ *(Error: (?:Failed to download metadata for repo|Cannot prepare internal mirrorlist).*)"),
    # Whatever else apt says: the first of it is the cause
    _row(r"^(E: (?!Sub-process ).*)"),
    # conda
    _row(
        r"^((?:PackagesNotFoundError|ResolvePackageNotFound|(?:LibMamba)?UnsatisfiableError):.*)"
        r"\n+((?: *(?:-|└─|├─) .*\n+)+)",
        r"\1\n\2",
    ),
    _row(r"^error +libmamba (Could not solve for environment specs)\n((?: +.*\n){1,5})", r"\1: \2"),
    _row(r"^((?:Conda\w*|Env\w*|Package\w*|NoWritable\w*|Directory\w*|Invalid\w*)Error: .*)"),
    # Python packages that do not go together, or that there are not
    _row(
        r"^(ERROR: Cannot install .* because these package versions have conflicting dependencies)\.\n+"
        r"(?:The conflict is caused by:\n)?((?: {4}.*\n)+)",
        r"\1: \2",
    ),
    _row(r"^(ERROR: Cannot install .*)"),
    _row(r"(ERROR: ResolutionImpossible): .*\n+(?:The conflict is caused by:\n)((?: {4}.*\n)+)", r"\1: \2"),
    _row(r"^(Your Pipfile\.lock .* is out of date.*)"),
    _row(r"([Rr]equested \S+ from .* has in(?:consistent|valid) .*)"),
    _row(r"^ *ERROR: (Packages require a different Python\. .*\n'[^'\n]*' \(required by \S+ \S+)", r"ERROR: \1)"),
    _row(
        r"^(?P<ignored>(?:ERROR: Ignored the following .*\n){0,3})"
        r" *(?:ERROR: )?Could not find a version that satisfies the requirement .*\(from versions: (?P<there>.*)\)\n"
        r"(?:.*\n){0,9}? *(?:ERROR: )?No matching distribution found for (?P<wanted>\S+)",
        _versions,
    ),
    _row(
        r"^ *(ERROR: (?:No matching distribution|Package '.*' requires a different Python"
        r"|.* is not a supported wheel).*)",
        _no_match,
    ),
    # Python packages that cannot be built: what the compiler, or the program of the package, said
    _row(r"^ *((?=\S).*(?:fatal error: \S+: No such file or directory|cannot find -l\S+).*)", _building),
    _row(r"^ *((?:error: command|unable to execute|error: linker) .*(?:No such file|not found).*)", _building),
    _row(
        r"^ *((?=\S).*\b(?:gcc|g\+\+|cc|c\+\+|clang|gfortran|rustc|cargo|cmake|make|ninja|swig|pkg-config|javac|nvcc"
        r"|git): (?:\d+: )?(?:command )?not found.*)",
        _building,
    ),
    _row(
        r"^ *(error: can't find Rust compiler|Cargo, the Rust package manager, is not installed.*"
        r"|error: linker `.*` not found"
        r"|error: package `.*` cannot be built because it requires rustc .*)",
        _building,
    ),
    _row(
        r"^ *((?:[Ee]rror|Exception|ERROR|RuntimeError|OSError): .*(?:not found|must be installed|[Uu]nable to find|"
        r"[Cc]an ?not find|could not (?:find|be found)|Did not find|is not installed|Unknown compiler).*)",
        _building,
    ),
    _row(r"^ *(CMake Error.*(?:\n+ +.+)?|\S+ ERROR: (?:Dependency|Unknown compiler|Program|Could not).*)", _building),
    _row(r"^ *(The headers or library files could not be found for .*)", _building),
    _row(r"^ *(error in \S+ setup command: .*)"),
    _row(r"^ *(ERROR: Cannot find command '.*)"),
    _row(r"^ *(\S+:\d+:(?:\d+:)? (?:fatal )?error: .*)", _building),
    _row(r"^ *(error\[E\d+\]: .*)", _building),
    _row(_OUTPUT, _own_error),
    _row(_OUTPUT, _own_words),
    # pip itself, and uv
    _row(
        r"^ *\u00d7 (?!Encountered error|Failed to build|.* did not run successfully)(.*)"
        r"(?:\n *╰─> (.+(?:\n {4,}\S.*)*))?",
        _diagnosis,
    ),
    _row(r"^(User for \S+: )(?:ERROR: )?Exception:$", r"The package index wants a login: \1"),
    _row(r"^(?:ERROR: )?Exception:\n(Traceback .*\n(?:.*\n?)*)", _raised_by_pip),
    _row(
        r"^ *╰─▶ ((?!Call to |The build backend).+(?:\n {5,}\S.*)*)",
        lambda match: " ".join(match[1].split()),
    ),
    _row(
        r"^(?:error: |\u00d7 )?(.+)\n((?: {0,4}[Cc]ause(?:d by)?: .*\n(?:(?: {6,}.*|\^*)\n)*)+)"
        r"(hint: .*(?:\n {2}\S.*)*)?",
        _causes,
    ),
)
"""Pattern → sentence, the most telling first. What the first row that applies says is told, three times at most."""

ANYTHING = (
    re.compile(
        r"^.*?((?:\b[\w.]*(?:ERROR|[Ee]rror)|\bE|fatal|FATAL): (?!Exception:$|[a-z]+(?:-[a-z]+){2,}$).*)$",
        re.MULTILINE,
    ),
    re.compile(r"^(?!WARNING: )(.*\b(?:[Ee]rror|ERROR|not found)\b.*)$", re.MULTILINE),
    re.compile(r"^(?!WARNING: )(.*\S.*)$", re.MULTILINE),
)
"""How lines begin that say what is wrong, whatever tool they are of; the last one of a kind counts."""
