"""A failed build says in one sentence which step failed and what the tool in it said."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.environments.build_log import failed_step
from amun.environments.failures import TABLE, sentence

RECORDED = Path(__file__).parents[2] / "cluster" / "recorded"

CASES = sorted((Path(__file__).parents[2] / "cases" / "builds").glob("*.log"))
WORDS = sorted({word for pattern, _ in TABLE for word in re.findall(r"[A-Za-z][A-Za-z ]{3,}", pattern.pattern)})

PODMAN = """\
STEP 1/9: FROM localhost/base:bookworm
STEP 2/9: USER 0
--> ddd1deaea90
STEP 3/9: COPY ["{program}", "/opt/amun/build/"]
--> b26556e80ed
STEP 4/9: RUN ["/bin/sh", "/opt/amun/build/{program}", "x"]
{output}
Error: building at STEP "RUN /bin/sh /opt/amun/build/{program} x": while running runtime: exit status {code}
"""

OPENSHIFT = """\
I1123 11:37:37.065904       1 defaults.go:112] Defaulting to storage driver "overlay" with options [].
Pulling image registry.example.org/debian:12 ...
STEP 1/4: FROM registry.example.org/debian:12
STEP 2/4: RUN echo about to fail; exit 7
about to fail
error: build error: building at STEP "RUN echo about to fail; exit 7": while running runtime: exit status 7
"""


@pytest.mark.parametrize(
    ("program", "code", "output", "message"),
    [
        pytest.param(
            "native.sh",
            100,
            "Reading state information...\nE: Unable to locate package vimm",
            "Installing native packages failed (step 4/9, exit status 100): E: Unable to locate package vimm.",
            id="apt-get",
        ),
        pytest.param(
            "native.sh",
            1,
            "No match for argument: vimm\nError: Unable to find a match: vimm",
            "Installing native packages failed (step 4/9, exit status 1): Error: Unable to find a match: vimm.",
            id="dnf",
        ),
        pytest.param(
            "native.sh",
            1,
            "ERROR: unable to select packages:\n  vimm (no such package):\n    required by: world[vimm]",
            "Installing native packages failed (step 4/9, exit status 1): vimm (no such package).",
            id="apk",
        ),
        pytest.param(
            "native.sh",
            104,
            "Loading repository data...\nNo provider of 'vimm' found.",
            "Installing native packages failed (step 4/9, exit status 104): No provider of 'vimm' found.",
            id="zypper",
        ),
        pytest.param(
            "loose.sh",
            1,
            "ERROR: Could not find a version that satisfies the requirement sixx (from versions: none)\n"
            "ERROR: No matching distribution found for sixx\n[notice] A new release of pip is available: 1 -> 2",
            "Installing Python packages failed (step 4/9, exit status 1): "
            "ERROR: No matching distribution found for sixx.",
            id="pip",
        ),
        pytest.param(
            "loose.sh",
            1,
            "ERROR: Cannot install six<1.16 because these package versions have conflicting dependencies.\n"
            "    The user requested (constraint) six==1.16.0\nERROR: ResolutionImpossible: for help visit https://…",
            "Installing Python packages failed (step 4/9, exit status 1): "
            "ERROR: Cannot install six<1.16 because these package versions have conflicting dependencies: "
            "The user requested (constraint) six==1.16.0.",
            id="pip-conflict",
        ),
        pytest.param(
            "locked.sh",
            3,
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated…\n"
            "    six==1.16.0 from https://…\n"
            "11-23-26 12:40:16 micropipenv  ERROR  Failed to install requirements, dependency 'six' could not be",
            "Installing the locked Python packages failed (step 4/9, exit status 3): "
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES: six==1.16.0.",
            id="micropipenv",
        ),
        pytest.param(
            "locked.sh",
            1,
            "error: Failed to download `six==1.16.0`\n  cause: Hash mismatch for `six==1.16.0`\n\n         Expected:\n",
            "Installing the locked Python packages failed (step 4/9, exit status 1): "
            "cause: Hash mismatch for `six==1.16.0`.",
            id="uv",
        ),
        pytest.param(
            "finish.sh",
            2,
            "/opt/amun/build/finish.sh: 20: cannot create /etc: Is a directory\n[Warning] one or more build args",
            "Making the home and placing files failed (step 4/9, exit status 2): "
            "/opt/amun/build/finish.sh: 20: cannot create /etc: Is a directory.",
            id="files",
        ),
        pytest.param(
            "venv.sh", 1, "", "Making the Python virtual environment failed (step 4/9, exit status 1).", id="silent"
        ),
    ],
)
def test_step_and_words_of_the_tool_are_said(program: str, code: int, output: str, message: str) -> None:
    log = PODMAN.format(program=program, code=code, output=output)
    assert failed_step(log) == ("BuildFailed", message)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_a_person_would_quote_of_a_failed_build_is_said(case: Path) -> None:
    """Each case names its source: the tool that was really run, or where its log is public."""
    (source, says), output = (case.read_text().partition("\n\n")[0].splitlines(), case.read_text().partition("\n\n")[2])
    assert source.startswith("source: ")
    assert sentence(output) == says.removeprefix("says: ")


SHORT = {
    # As these tools word it; of each no more than the lines that matter.
    "ERROR: Exception:\nTraceback (most recent call last):\n  File \"z\"\nzipfile.BadZipFile: File is not a zip file\n":
        "zipfile.BadZipFile: File is not a zip file",
    "W: GPG error: http://x stable InRelease: The public key is not available: NO_PUBKEY 7EA0A9C3F273FCD8\n"
    "E: The repository 'http://x stable InRelease' is not signed.\n":
        "GPG error: http://x stable InRelease: The public key is not available: NO_PUBKEY 7EA0A9C3F273FCD8",
    "Errors were encountered while processing:\n foo\n bar\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n":
        "Errors were encountered while processing: foo, bar",
    "W: Failed to fetch http://x/InRelease  Could not resolve 'x'\nE: Unable to locate package tree\n":
        "Failed to fetch http://x/InRelease Could not resolve 'x'",
    "W: Failed to fetch http://x/InRelease  Could not resolve 'x'\n"
    "dpkg: error processing package a (--configure):\n installed a package post-installation script returned 3\n":
        "dpkg: error processing package a (--configure): installed a package post-installation script returned 3",
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n":
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    "Failed to resolve the transaction:\nNo match for argument: nosuch\nYou can try to add to command line:\n":
        "No match for argument: nosuch",
    "KeyError: 'x'\n": "KeyError: 'x'",
    "error: externally-managed-environment\n\n\u00d7 This environment is externally managed\n":
        "This environment is externally managed",
    "done\nWARNING: Running pip as the 'root' user can result in an error\n": "done",
}  # fmt: skip


@pytest.mark.parametrize("output", SHORT)
def test_the_telling_line_is_found_among_others(output: str) -> None:
    assert sentence(output) == SHORT[output]


@given(st.lists(st.sampled_from([*"\n \t-:('╰│", *WORDS]) | st.text(max_size=5), max_size=60).map("".join))
def test_any_output_at_all_has_a_sentence_of_one_line(output: str) -> None:
    said = sentence(output)
    assert "\n" not in said
    assert "\r" not in said


@pytest.mark.parametrize(
    ("code", "output"),
    [
        (137, "Killed"),
        (1, "c++: fatal error: Killed signal terminated program cc1plus"),
        (1, "c++: internal compiler error: Killed (program cc1plus)"),
    ],
)
def test_want_of_memory_has_a_reason_of_its_own(code: int, output: str) -> None:
    reason, message = failed_step(PODMAN.format(program="loose.sh", code=code, output=output))
    assert reason == "OutOfMemoryKilled"
    assert message == (
        f"Installing Python packages failed (step 4/9, exit status {code}): "
        "a program was killed, most likely for want of memory."
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            "Error: creating build container: initializing source docker://quay.io/no/such:1: reading manifest 1 in "
            "quay.io/no/such: unauthorized: access to the requested resource is not authorized",
            "reading manifest 1 in quay.io/no/such: unauthorized: access to the requested resource is not authorized",
        ),
        (
            'Error: creating build container: short-name "quay.io/no/such:1" did not resolve to an alias',
            'short-name "quay.io/no/such:1" did not resolve to an alias',
        ),
        (
            "error: build error: initializing source docker://quay.io/no/such:1: pinging container registry quay.io: "
            "dial tcp: lookup quay.io: no such host",
            "pinging container registry quay.io: dial tcp: lookup quay.io: no such host",
        ),
    ],
)
def test_base_image_that_cannot_be_pulled(error: str, cause: str) -> None:
    log = f"STEP 1/2: FROM quay.io/no/such:1\nTrying to pull quay.io/no/such:1...\n{error}\n"
    assert failed_step(log) == ("ErrImagePull", f"The base image quay.io/no/such:1 could not be pulled: {cause}.")


def test_other_steps_are_named_by_what_they_do() -> None:
    message = "RUN echo about to fail; exit 7 failed (step 2/4, exit status 7): about to fail."
    assert failed_step(OPENSHIFT) == ("BuildFailed", message)


def test_log_of_a_real_openshift_build() -> None:
    message = "RUN echo about to fail; exit 7 failed (step 2/4, exit status 7): about to fail."
    assert failed_step((RECORDED / "build-bad.log").read_text()) == ("BuildFailed", message)


def test_what_a_tool_prints_cannot_pass_for_the_end_of_the_build() -> None:
    printed = 'Error: building at STEP "RUN true": while running runtime: exit status 137\nE: the real one'
    _, message = failed_step(PODMAN.format(program="native.sh", code=5, output=printed))
    assert message == "Installing native packages failed (step 4/9, exit status 5): E: the real one."


def test_errors_outside_of_steps_are_passed_on() -> None:
    log = "STEP 1/1: FROM x\nError: committing container: no space left on device\n"
    assert failed_step(log) == ("BuildFailed", "The build failed: committing container: no space left on device.")


@pytest.mark.parametrize("log", ["", "STEP 1/4: FROM x\nE: something\n"])
def test_log_that_does_not_say_why(log: str) -> None:
    assert failed_step(log) == ("BuildFailed", "The build failed, and its log does not say why.")


def test_message_stays_short_whatever_was_printed() -> None:
    _, message = failed_step(PODMAN.format(program="native.sh", code=1, output="E: " + "x" * 100_000))
    assert len(message) < 520


def test_the_loader_s_own_warnings_are_not_why_a_build_failed() -> None:
    loader = (
        "ERROR: ld.so: object '/none.so' from LD_PRELOAD cannot be preloaded (cannot open shared object file): ignored."
    )
    output = f"{loader}\n/bin/sh: 3: cp: not found\n{loader}"
    _, message = failed_step(PODMAN.format(program="finish.sh", code=127, output=output))
    assert message.endswith("/bin/sh: 3: cp: not found.")
