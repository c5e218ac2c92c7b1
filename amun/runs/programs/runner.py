"""Runs one script as the first process of its container, frames what it prints and reports how it went.

Called as `python3 -I -S -B runner.py [--timeout S] [--grace S] [--output-limit BYTES] [--home DIR] [--account FILE]
SCRIPT`. Standard output gets the frames that `amun.runs.log_frames` describes, as the script prints, and the report as
the last of them. Exits as the script did, with 128+n if signal n ended it. Runs on whatever python3 the inspected image
has, from 3.6 on, so only the standard library is used, and old Python is written; python.sh tries which one can run it
(`--try`). What files say is reported as text: making sense of it is left to the service.

The script is a stranger's program with the same uid. So the runner makes itself non-dumpable, which closes its memory,
environment and descriptors to that uid (proc(5)), and reads what it reports on before the script starts.
"""

# ruff: noqa: B905, RUF005, SIM105
# No contextlib, which would double the time to start; zip(strict=…) is too new.
import os
import resource
import select
import sys
import time


def load(*names: str) -> "Any":  # type: ignore[name-defined] # noqa: F821
    """Return the first that there is of some `module` or `module:member`."""
    for name in names:
        module, _, member = name.partition(":")
        try:
            found = __import__(module)
            return getattr(found, member) if member else found
        except (AttributeError, ImportError):
            continue
    raise ImportError(names[-1])


# The cores of standard modules where they are to be had: the script starts twice as soon without the rest.
signal = load("_signal", "signal")
sha256 = load("_sha2:sha256", "_sha256:sha256", "hashlib:sha256")
quote = load("_json:encode_basestring_ascii", "json:dumps")

if sys.argv[1:] == ["--try"]:
    if sys.version_info < (3, 6):
        sys.exit("too old")
    print("works")
    sys.exit()

try:
    import ctypes
except ImportError:
    ctypes = None  # type: ignore[assignment]

HOME = "/home/amun"
STACK = "/opt/amun/venv/bin"
SHELL = "/bin/sh"

CHUNK = 64 << 10
LONGEST = 8000
"""Bytes of a frame. Runtimes read logs in blocks of 8 or 16 KiB and split lines that are longer."""

SHORTEST = 16
"""Bytes that a piece of output counts for at least, lest a log of short lines be nothing but frames around them."""

DRAIN = 0.5
"""Seconds that what the script left behind may go on printing, so that `exec > >(tee log)` loses nothing."""

STUCK = 2.0
"""Seconds to wait for killed processes to be gone; one that hangs in the kernel must not hold up the report."""

LONG = ("hwinfo", "os_release", "cuda", "packages", "kernel")
"""Parts of the report that may have any length."""

MACHINE = (
    ("/proc/stat", (b"cpu ", b"ctxt ")),
    ("/proc/loadavg", (b"",)),
    ("/proc/vmstat", (b"pgpgin ", b"pgpgout ")),
    ("/proc/pressure/cpu", (b"",)),
    ("/proc/pressure/memory", (b"",)),
    ("/proc/pressure/io", (b"",)),
    ("/sys/devices/system/cpu/online", (b"",)),
)
"""What the kernel counts for the whole machine, and how the lines begin that are reported."""

GROUP = "/sys/fs/cgroup/"
GROUP_1 = ("cpu/cpu.stat", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpuacct/cpuacct.usage")
GROUP_2 = ("cpu.stat", "cpu.max", "cpu.pressure", "memory.pressure", "io.pressure")
"""What it counts for the container's own cgroup, in version 1 and version 2."""

CPUS = "/sys/devices/system/cpu/"
MOST_CPUS = 64
"""Processors that are looked at one by one: looking must not take long."""

PR_SET_DUMPABLE = 4

CANCEL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SIGNALS = CANCEL + (signal.SIGALRM, signal.SIGCHLD)


class Options:
    """The command line, `--name value …` before the script; argparse would double the time to start."""

    def __init__(self, arguments: "list[str]") -> None:
        given = {"--timeout": "0", "--grace": "10", "--output-limit": str(10 << 20), "--home": HOME, "--account": ""}
        arguments = list(arguments)
        while arguments and arguments[0] in given:
            name = arguments.pop(0)
            given[name] = arguments.pop(0)
        self.timeout = float(given["--timeout"])
        self.grace = float(given["--grace"])
        self.output_limit = int(given["--output-limit"])
        self.home = given["--home"]
        self.account = given["--account"]
        self.command = arguments


class Stream:
    """One of the script's output streams, and how much of it may still be passed on."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.left = limit
        self.truncated = False
        self.full = name.encode() + b" F "
        self.part = name.encode() + b" P "

    def frame(self, data: bytes) -> bytes:
        """Frame `data` up to the limit; what is beyond is dropped."""
        lines = data[: self.left].split(b"\n", max(self.left // SHORTEST, 1))
        if len(lines) > max(self.left // SHORTEST, 1):
            lines[-1] = b""
        kept = sum(map(len, lines)) + len(lines) - 1
        self.left = max(self.left - max(kept, SHORTEST * (len(lines) - (not lines[-1]))), 0)
        if kept < len(data):
            self.truncated, self.left = True, 0
            # At once, for who is killed says nothing more.
            return self._framed(lines) + b'report F {"truncated": {"%s": true}}\n' % self.name.encode()
        return self._framed(lines)

    def _framed(self, lines: "list[bytes]") -> bytes:
        if max(map(len, lines)) > LONGEST:
            return b"".join(map(self._cut, lines[:-1])) + self._pieces(lines[-1])
        last = lines.pop()
        frames = self.full + (b"\n" + self.full).join(lines) + b"\n" if lines else b""
        return frames + self.part + last + b"\n" if last else frames

    def _cut(self, line: bytes) -> bytes:
        end = (len(line) - 1) // LONGEST * LONGEST if line else 0
        return self._pieces(line[:end]) + self.full + line[end:] + b"\n"

    def _pieces(self, data: bytes) -> bytes:
        return b"".join(self.part + data[i : i + LONGEST] + b"\n" for i in range(0, len(data), LONGEST))


class Run:
    """The script's process and all that it started: starting, following, ending them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.streams = [Stream("stdout", options.output_limit), Stream("stderr", options.output_limit)]
        pipes = [os.pipe() for stream in self.streams]
        self.open = {reader: stream for (reader, writer), stream in zip(pipes, self.streams)}
        self.writers = [writer for reader, writer in pipes]
        self.status = None  # type: int | None
        self.end = None  # type: str | None
        self.kernel = None  # type: dict[str, str] | None
        self.deadline_exceeded = False
        self.deadline = self.kill_at = float("inf")
        self.wake_reader, self.wake_writer = os.pipe()
        # Not select.poll, which fails once the script has taken away the runner's right to open files (prlimit(2)).
        self.poll = select.epoll()
        for reader in list(self.open) + [self.wake_reader]:
            self.poll.register(reader, select.EPOLLIN)

    def start(self) -> None:
        """Start the script and arm the deadline."""
        os.set_blocking(self.wake_writer, False)
        os.set_blocking(self.wake_reader, False)
        signal.set_wakeup_fd(self.wake_writer)
        signal.signal(signal.SIGCHLD, lambda number, stack: None)
        for number in CANCEL:
            signal.signal(number, lambda number, stack: self.terminate())
        signal.signal(signal.SIGALRM, lambda number, stack: self.alarm())
        # Blocked, because the handlers need the child's id, and in the child they would be out of place.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.pid = os.fork()
        if not self.pid:
            become_script(self.options, self.writers)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for writer in self.writers:
            os.close(writer)
        if self.options.timeout:
            self.deadline = time.monotonic() + self.options.timeout
            signal.setitimer(signal.ITIMER_REAL, self.options.timeout)

    def terminate(self) -> None:
        """Ask the script to end; what is left of it after the grace is killed. Asking twice gives no more time."""
        if self.kill_at == float("inf"):
            self.kill_at = time.monotonic() + self.options.grace
            signal.setitimer(signal.ITIMER_REAL, max(self.options.grace, 0.001))
            self.kill(signal.SIGTERM)

    def alarm(self) -> None:
        # In a signal handler, so that it works while a reader of our output makes us wait. The clock is asked because
        # anybody in the container may send the signal.
        now = time.monotonic()
        if now >= self.kill_at:
            self.kill_all()
        elif now >= self.deadline and self.status is None:
            self.deadline_exceeded = True
            self.terminate()

    def kill(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            # All of them are gone, or it has not come as far as having a group.
            if self.status is None:
                os.kill(self.pid, number)

    def kill_all(self) -> None:
        """Kill everything in the container but the runner; outside of one, the script's process group."""
        if os.getpid() != 1:
            return self.kill(signal.SIGKILL)
        try:
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass  # There is nothing else.

    def follow(self) -> None:
        """Pass on all output until the script is over and everything that it left behind is gone."""
        while self.status is None:
            self.step(None)
        self.finish(DRAIN)
        self.kill_all()
        self.finish(STUCK)
        self.reap_rest()

    def finish(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self.open and time.monotonic() < end:
            self.step(end - time.monotonic())

    def step(self, seconds: "float | None") -> None:
        """Wait for output or a child's end, and take what there is."""
        for reader, _ in self.poll.poll(-1 if seconds is None else max(seconds, 0)):
            data = os.read(reader, CHUNK)
            if reader == self.wake_reader:
                self.reap()
            elif data:
                stream = self.open[reader]
                if stream.left or not stream.truncated:
                    write(stream.frame(data))
            else:
                self.poll.unregister(reader)
                os.close(reader)
                del self.open[reader]

    def reap(self, flags: int = os.WNOHANG) -> bool:
        """Take the end of every child that has ended, adopted ones included. Return whether there are others."""
        if self.end is None and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            self.look_back()
        while True:
            try:
                pid, status = os.waitpid(-1, flags)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self.pid:
                self.status = status
                if self.end is None:  # It has ended since.
                    self.look_back()

    def look_back(self) -> None:
        self.end = now()
        self.kernel = look(self.pid)

    def reap_rest(self) -> None:
        # Resource usage counts only those that were waited for.
        end = time.monotonic() + STUCK
        while self.reap() and time.monotonic() < end:
            time.sleep(0.01)


def write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def say(message: str) -> None:
    os.write(2, ("amun: %s\n" % message).encode("utf-8", "replace"))


def become_script(options: Options, outputs: "list[int]") -> None:
    """In the child: turn into the script, or say on its standard error why not and exit as a shell would."""
    code = 126
    try:
        prepare(options.home, outputs)
        code = execute(options.command)
    except BaseException as error:
        say(str(error))
    finally:
        os._exit(code)


def prepare(home: str, outputs: "list[int]") -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(outputs[0], 1)
    os.dup2(outputs[1], 2)
    # Dumpable again, or its files in /proc are root's until it executes something.
    set_dumpable(1)
    die_first()
    close_others()
    default_signals()
    set_environment(home)


def default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            pass  # SIGKILL, SIGSTOP and those that the C library keeps for itself.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def set_environment(home: str) -> None:
    """Go home and say so; give back the rest of the environment as the container got it."""
    try:
        os.chdir(home)
        os.environ["PWD"] = home
    except OSError:
        pass  # An image that Amun did not build.
    if os.environ.get("HOME", "/") in ("", "/"):
        os.environ["HOME"] = home
    path = os.environ.get("PATH") or os.defpath
    if os.path.isdir(STACK) and path.split(":")[0] != STACK:
        os.environ["PATH"] = STACK + ":" + path
    # Python sets this for itself where there is no locale (PEP 538), but the script may care.
    given = read("/proc/self/environ", 4 << 20) or b"LC_CTYPE="
    if not any(variable.startswith(b"LC_CTYPE=") for variable in given.split(b"\0")):
        os.environ.pop("LC_CTYPE", None)


def die_first() -> None:
    """When memory runs out the kernel is to take the script, not the runner that has its output."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass


def close_others() -> None:
    try:
        others = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        others = list(range(3, 256))
    for descriptor in others:
        if descriptor > 2:
            try:
                os.close(descriptor)
            except OSError:
                pass


def execute(command: "list[str]") -> int:
    """Execute the script by its first line, by the shell if it has none. Return the exit code if that fails."""
    hint(command[0])
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        # ENOEXEC, without importing errno for it.
        if error.errno == 8:
            os.execv(SHELL, [SHELL] + command)  # noqa: S606
        say("%s: %s" % (command[0], why_not(command[0], error)))
        return 127 if isinstance(error, FileNotFoundError) else 126
    return 126


def hint(script: str) -> None:
    """Name what nobody sees in the first line of a script and keeps it from being understood."""
    with open(script, "rb") as file:
        first = file.readline(256).rstrip(b"\n")
    if first.startswith(b"\xef\xbb\xbf#!"):
        say("the script begins with a byte order mark: its first line, #!, does not count")
    elif first.startswith(b"#!") and first.endswith(b"\r"):
        say("the script has Windows line ends: its interpreter is not found by a name that ends in \\r")


def why_not(script: str, error: OSError) -> "str | None":
    with open(script, "rb") as file:
        first = file.readline(256).decode("utf-8", "replace").rstrip("\n")
    if not first.startswith("#!"):
        return error.strerror
    return "cannot execute its interpreter %r: %s" % (first[2:].strip(" \t"), error.strerror)


def set_dumpable(value: int) -> None:
    try:
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, value, 0, 0, 0)
    except (AttributeError, OSError):
        pass  # No ctypes, or no prctl: then the container is the only wall.


def read(path: str, limit: int = 1 << 20) -> "bytes | None":
    """Return what a file holds; None where it cannot be read or is longer than anything sensible."""
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError:
        return None
    return data if len(data) <= limit else None


def text(*paths: str) -> "str | None":
    """Return what the first readable one of some files holds."""
    for path in paths:
        data = read(path)
        if data is not None:
            return data.decode("utf-8", "replace")
    return None


def digest(path: str) -> "str | None":
    hashed = sha256()
    try:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                hashed.update(chunk)
    except OSError:
        return None
    return str(hashed.hexdigest())


def now() -> str:
    """RFC 3339, UTC, with microseconds."""
    microseconds = int(time.time() * 1000000)
    seconds, fraction = divmod(microseconds, 1000000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".%06dZ" % fraction


def oom_kills() -> int:
    """How often the kernel has killed in this container for memory, by its cgroup: version 2, else version 1."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        for line in (read(path) or b"").splitlines():
            name, _, count = line.partition(b" ")
            if name == b"oom_kill":
                return int(count)
    return 0


def python_version() -> "str | None":
    """MAJOR.MINOR of the python3 that the script finds, as its file's name tells it: to run it could take for ever."""
    search = os.environ.get("PATH") or os.defpath
    for directory in [STACK] + search.split(":"):
        python = os.path.join(directory, "python3")
        if os.access(python, os.X_OK):
            break
    else:
        return None
    actual = os.path.realpath(python)
    if actual == os.path.realpath(sys.executable):
        return "%d.%d" % sys.version_info[:2]
    name = os.path.basename(actual)
    return name[len("python") :] if name.startswith("python3.") else None


def look(pid: int) -> "dict[str, str]":
    """What the kernel counts at this moment: the machine, the container's cgroup, and the process `pid` as it ended."""
    seen = {"monotonic": "%.6f" % time.monotonic()}
    for path, starts in MACHINE:
        found = [line for line in (read(path) or b"").split(b"\n") if line.startswith(starts)]
        seen[path] = b"\n".join(found).decode("ascii", "replace")
    for name in group_files():
        seen[GROUP + name] = text(GROUP + name) or ""
    seen["schedstat"] = (pid != os.getpid() and text("/proc/%d/schedstat" % pid)) or ""
    seen.update(look_at_processors(pid))
    return {name: value for name, value in seen.items() if value}


def group_files() -> "tuple[str, ...]":
    """Where the counters of a group are that is the container's own: the first of all groups counts for all."""
    if os.path.exists(GROUP + "cgroup.controllers"):
        return GROUP_2 if os.path.exists(GROUP + "cgroup.events") else ()
    return () if os.path.exists(GROUP + "cpu/release_agent") else GROUP_1


def look_at_processors(pid: int) -> "dict[str, str]":
    """The frequency of the one that a process ran on last, and how often any was slowed down because it was hot."""
    fields = (read("/proc/%d/stat" % pid) or b"").rpartition(b")")[2].split()
    last = int(fields[36]) if len(fields) > 36 else 0
    frequency = text(CPUS + "cpu%d/cpufreq/scaling_cur_freq" % last)
    if frequency is None:
        # Where there is no way to govern it, as in virtual machines.
        found = [line for line in (read("/proc/cpuinfo") or b"").split(b"\n") if line.startswith(b"cpu MHz")]
        frequency = found[last].decode("ascii", "replace") if last < len(found) else None
    counts = []
    if os.path.exists(CPUS + "cpu0/thermal_throttle"):
        for cpu in range(MOST_CPUS):
            directory = CPUS + "cpu%d/thermal_throttle/" % cpu
            counts += [text(directory + name) or "0" for name in ("core_throttle_count", "package_throttle_count")]
    return {"frequency": frequency or "", "thermal_throttles": " ".join(count.strip() for count in counts)}


def usage() -> "dict[str, float]":
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {name: getattr(used, name) for name in dir(used) if name.startswith("ru_")}


def ending(status: int) -> "tuple[int, str | None]":
    """Exit code as a shell gives it, and the name of the signal that ended the script."""
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status), None
    number = os.WTERMSIG(status)
    names = [name for name in dir(signal) if name[:3] == "SIG" and name[3] != "_" and getattr(signal, name) == number]
    return 128 + number, names[0] if names else "SIG%d" % number


def dumps(value: object) -> str:
    """Write as JSON what a report is made of."""
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (quote(name), dumps(member)) for name, member in value.items())
    if isinstance(value, str):
        return str(quote(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def leave(path: str, report: "Any") -> None:  # type: ignore[name-defined] # noqa: F821
    """Write the short part of a report where the engine reads it without reading a log: 4 KiB, in Kubernetes."""
    brief = {name: value for name, value in report.items() if name not in LONG}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, dumps(brief).encode())
        os.close(descriptor)
    except OSError:
        pass  # An engine that does not ask for it.


def main(arguments: "list[str]") -> int:
    options = Options(arguments)
    set_dumpable(0)
    known = {
        "script_sha256": digest(options.command[0]),
        "hwinfo": text(os.path.join(options.home, "hwinfo", "info.json")),
        "os_release": text("/etc/os-release", "/usr/lib/os-release"),
        "cuda": text("/usr/local/cuda/version.json", "/usr/local/cuda/version.txt"),
        "packages": text("/opt/amun/packages"),
        "python_version": python_version(),
        "hostname": os.uname().nodename,
    }
    killed = oom_kills()
    run = Run(options)
    before = look(os.getpid())
    # What is said of a run that is killed.
    known["start_datetime"] = now()
    write(b"report F " + dumps(dict(known, kernel={"before": before})).encode() + b"\n")
    leave(options.account, known)
    run.start()
    run.follow()
    code, name = ending(run.status or 0)
    report = {
        "exit_code": code,
        "signal": name,
        "usage": usage(),
        "end_datetime": run.end or now(),
        "oom_killed": oom_kills() > killed,
        "truncated": {stream.name: stream.truncated for stream in run.streams},
        "deadline_exceeded": run.deadline_exceeded,
        "kernel": {"before": before, "after": run.kernel},
    }
    report.update(known)
    # The line feed before it, lest another's unfinished line swallow it.
    write(b"\nreport F " + dumps(report).encode() + b"\n")
    leave(options.account, report)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
