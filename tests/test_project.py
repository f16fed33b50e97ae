"""The project's files: locks, container, and the set-up that the first start does by itself.

The set-up is tried for real, in small checkouts of their own, with a lock of one wheel made on the spot: nothing is
fetched. The rarer courses are long tests, for their sum; one more installs the true lock, where pip reaches a registry.
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bot import bootstrap
from bot.config import options
from tests.__main__ import pytest_arguments

CHECKOUT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")


# --- locks ----------------------------------------------------------------------------------------------------


def read_lock(name: str) -> dict[str, dict[str, set[str]]]:
    """Package → version → hashes. A package has several versions when Pythons or systems differ."""
    lock: dict[str, dict[str, set[str]]] = {}
    for entry in (CHECKOUT / name).read_text().replace("\\\n", " ").splitlines():
        requirement, *hashes = entry.split(" --hash=")
        pinned = Requirement(requirement)
        (specifier,) = pinned.specifier
        assert specifier.operator == "=="
        lock.setdefault(canonicalize_name(pinned.name), {})[specifier.version] = {one.strip() for one in hashes}
    return lock


def direct_requirements(*groups: str) -> list[Requirement]:
    """What pyproject.toml asks for: "runtime", "build", an extra's name, or "dev"."""
    project = PROJECT["project"]
    lists = {
        "runtime": project["dependencies"],
        "build": PROJECT["build-system"]["requires"],
        **project["optional-dependencies"],
        **PROJECT["dependency-groups"],
    }
    return [Requirement(line) for group in groups for line in lists[group]]


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_host_and_no_path(name):
    text = (CHECKOUT / name).read_text()
    for trace in ("://", "/work", "/opt", "/tmp", "/home", "--index", "--find-links", " @ "):  # noqa: S108 - searched for, not used
        assert trace not in text


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes(name):
    for package, versions in read_lock(name).items():
        for version, hashes in versions.items():
            assert hashes, (package, version)
            assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("requirements.lock", ("runtime", "build", "charts")),
        ("requirements-dev.lock", ("runtime", "build", "charts", "demo", "dev")),
    ],
)
def test_locks_hold_every_requirement_within_its_range(name, groups):
    lock = read_lock(name)
    for requirement in direct_requirements(*groups):
        versions = lock.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name} is missing in {name}: run .ci/lock"
        for version in versions:
            assert requirement.specifier.contains(version), f"{requirement} in {name}: run .ci/lock"


def test_what_is_tested_is_what_runs():
    runtime, dev = (read_lock(name) for name in LOCKS)
    assert {package: dev.get(package) for package in runtime} == runtime


def test_the_runtime_lock_holds_no_tools():
    assert not {"pytest", "ruff", "playwright", "simcord", "basedpyright"} & read_lock("requirements.lock").keys()


def test_what_the_bot_reads_at_run_time_is_packed():
    """Whatever in the packages is no module: setuptools leaves out what no pattern names. Pages are for people only."""
    for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        folder = CHECKOUT / package
        files = {path for path in folder.rglob("*.*") if path.is_file() and path.suffix not in {".py", ".pyc", ".md"}}
        assert files == {path for pattern in patterns for path in folder.glob(pattern)}


# --- container ------------------------------------------------------------------------------------------------


def test_dockerfile_runs_a_python_the_project_allows():
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    oldest = Version(PROJECT["project"]["requires-python"].removeprefix(">="))
    images = re.findall(r"^FROM python:([\d.]+)-slim", dockerfile, re.MULTILINE)
    assert len(images) == len(re.findall(r"^FROM ", dockerfile, re.MULTILINE)) == 2
    assert len(set(images)) == 1  # the environment is copied from one to the other
    assert Version(images[0]) >= oldest


def test_dockerfile_installs_by_hash_and_runs_as_nobody_special():
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    for command in re.findall(r"pip install .*", dockerfile):
        assert "--require-hashes" in command or "--no-index" in command
    assert dockerfile.index("\nUSER 10001:10001") < dockerfile.index("\nENTRYPOINT")
    # What SQLite writes anew is as large as the database: not for /tmp, which compose.yaml has in memory.
    assert "\nENV SQLITE_TMPDIR=/data\n" in dockerfile
    assert "\nVOLUME /data\n" in dockerfile


def test_compose_gives_the_bot_no_more_than_it_needs():
    compose = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
    service = compose["services"]["bot"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] == "1g"
    assert service["pids_limit"] == 256
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert set(service["secrets"]) == set(compose["secrets"])
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}


def test_compose_names_secrets_that_are_options():
    compose = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
    secrets = {option.variable.lower() for option in options().values() if option.is_secret}
    assert set(compose["secrets"]) <= secrets


def test_secrets_are_never_committed_nor_sent_to_the_builder():
    ignored = (CHECKOUT / ".gitignore").read_text().splitlines()
    assert {"/secrets/", "/config.toml", "/data/", ".env"} <= set(ignored)
    sent = [line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert sent[0] == "*"
    assert {line for line in sent if line.startswith("!")} == {
        "!pyproject.toml", "!requirements.lock", "!README.md", "!LICENSE", "!bot", "!cogs",
    }  # fmt: skip


# --- python -m tests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ([], ["-n", "2", "-m", "not long and not browser"]),
        (["-m", "long"], ["-n", "2", "-m", "long"]),
        (["-n", "0", "-m", "browser"], ["-n", "0", "-m", "browser"]),
        (["-k", "bot", "-x"], ["-n", "2", "-m", "not long and not browser", "-k", "bot", "-x"]),
        (["--pdb"], ["-m", "not long and not browser", "--pdb"]),
        ([f"{__file__}::test_x"], ["-n", "2", f"{__file__}::test_x"]),
    ],
)
def test_defaults_of_the_test_command(given, arguments):
    assert pytest_arguments(given) == arguments


# --- first start ----------------------------------------------------------------------------------------------


def test_bootstrap_needs_only_the_standard_library():
    """With neither site-packages nor the environment's variables, and nothing else of the bot."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bot.bootstrap;"
        "print(*(m for m in sys.modules if m.partition('.')[0] not in sys.stdlib_module_names and m != '__main__'))"
    )
    command = [sys.executable, "-S", "-I", "-c", program, str(CHECKOUT)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert sorted(loaded) == ["bot", "bot.bootstrap"]


@pytest.mark.parametrize("file", ["bot/bootstrap.py", "bot/__init__.py", "tests/__init__.py", "tests/__main__.py"])
def test_an_old_python_can_read_what_tells_it_that_it_is_too_old(file):
    ast.parse((CHECKOUT / file).read_text(), feature_version=(3, 8))


def test_bootstrap_knows_every_package():
    providers = importlib.metadata.packages_distributions()

    def distributions(modules):
        return {canonicalize_name(name) for module in modules for name in providers[module]}

    def names(group):
        return {canonicalize_name(requirement.name) for requirement in direct_requirements(group)}

    assert distributions(bootstrap.RUNTIME) >= names("runtime")
    assert distributions(bootstrap.DEMO) >= names("demo")
    tools = {"basedpyright", "import-linter", "ruff"}  # started by .ci/run, imported by no test
    assert distributions(bootstrap.TESTS) >= names("dev") - tools


@dataclass(frozen=True)
class SmallCheckout:
    """A checkout with the real bot/bootstrap.py, and one package called `wanted` for all that is needed."""

    path: Path

    @property
    def environment(self) -> Path:
        return self.path / ".venv"

    @property
    def marker(self) -> Path:
        return self.environment / "installed-lock.sha256"

    def lock(self, version: str) -> None:
        """Write a lock that names the wheel of that version."""
        wheel = self.path / f"wanted-{version}-py3-none-any.whl"
        info = f"wanted-{version}.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("wanted.py", f"version = {version!r}\n")
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: wanted\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", f"wanted.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (self.path / "requirements-dev.lock").write_text(f"{wheel.as_uri()} --hash=sha256:{digest}\n")

    def command(self, *arguments: str, python: str | Path = sys.executable) -> list[str]:
        return [str(python), "-m", "program", *arguments]

    def start(self, *arguments: str, python: str | Path = sys.executable) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, python=python), cwd=self.path, check=False, capture_output=True, text=True
        )


@pytest.fixture(scope="module")
def _pip() -> None:
    """An environment made by uv, say, has no pip, and its base may have none either."""
    for python in (sys.executable, getattr(sys, "_base_executable", sys.executable)):
        found = subprocess.run([python, "-m", "pip", "--version"], check=False, capture_output=True, text=True)
        if found.returncode == 0 and Version(found.stdout.split()[1]) >= Version("22.3"):
            return
    pytest.skip("there is no pip 22.3 or newer here")


@pytest.fixture
def checkout(tmp_path: Path, _pip: None) -> SmallCheckout:
    (tmp_path / "bot").mkdir()
    for file in ("bot/__init__.py", "bot/bootstrap.py", "pyproject.toml"):
        shutil.copy(CHECKOUT / file, tmp_path / file)
    # ensurepip is hidden, as on a Debian without python3-venv; it would also take seconds.
    (tmp_path / "program.py").write_text("""\
import json, sys
sys.modules["ensurepip"] = None
from bot import bootstrap
bootstrap.RUNTIME, bootstrap.DEMO, bootstrap.TESTS = ("wanted",), (), ()
bootstrap.ensure_environment("program", sys.argv[1:])
import wanted
print(json.dumps({"prefix": sys.prefix, "arguments": sys.argv[1:], "version": wanted.version}))
sys.exit(7 if "seven" in sys.argv else 0)
""")
    small = SmallCheckout(tmp_path)
    small.lock("1.0")
    return small


def answer(run: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def environment_python(checkout: SmallCheckout) -> Path:
    return checkout.environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def test_the_first_start_sets_up_and_starts_the_program_there(checkout):
    first = checkout.start("demo", "--tour", "two words", "")
    assert answer(first) == {
        "prefix": str(checkout.environment),
        "arguments": ["demo", "--tour", "two words", ""],
        "version": "1.0",
    }
    assert first.stderr.count("\n") == 1  # one calm line
    assert "Installing the packages" in first.stderr

    again = checkout.start("seven")
    assert (again.returncode, again.stderr) == (7, "")  # at once, and with the program's own status
    inside = checkout.start(python=environment_python(checkout))
    assert (answer(inside)["version"], inside.stderr) == ("1.0", "")


@pytest.mark.parametrize("start_inside", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_changed_lock_is_installed(checkout, start_inside):
    answer(checkout.start())
    (checkout.environment / "kept").touch()
    checkout.lock("2.0")
    python = environment_python(checkout) if start_inside else sys.executable
    assert answer(checkout.start(python=python))["version"] == "2.0"
    assert (checkout.environment / "kept").exists()  # brought up to date, not made anew


def test_an_interrupted_installation_is_made_anew(checkout):
    answer(checkout.start())
    checkout.marker.write_text("unfinished")
    (module,) = checkout.environment.rglob("wanted.py")
    module.write_text("half of a li")  # pip would say that it is installed
    assert answer(checkout.start())["version"] == "1.0"


@pytest.mark.long
@pytest.mark.parametrize("start_inside", [False, True])
def test_an_environment_that_lost_its_packages_is_made_anew(checkout, start_inside):
    """So it looks from inside after the system's Python went from 3.11 to 3.13."""
    answer(checkout.start())
    (module,) = checkout.environment.rglob("wanted.py")
    module.unlink()
    python = environment_python(checkout) if start_inside else sys.executable
    assert answer(checkout.start(python=python))["version"] == "1.0"


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_an_environment_whose_python_is_gone_is_made_anew(checkout):
    answer(checkout.start())
    python = environment_python(checkout)
    python.unlink()
    python.symlink_to("/nonexistent/python")
    checkout.lock("2.0")  # which alone would only be installed on top
    assert answer(checkout.start())["version"] == "2.0"


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_a_start_that_is_killed_leaves_nothing_that_stops_the_next(checkout):
    # The "unfinished" marker is the first thing written: kill as soon as it is there.
    with subprocess.Popen(checkout.command(), cwd=checkout.path, stderr=subprocess.DEVNULL) as start:
        while not checkout.marker.exists():
            assert start.poll() is None
        start.send_signal(signal.SIGKILL)
    assert answer(checkout.start())["version"] == "1.0"


def test_starts_at_the_same_time_set_up_once(checkout):
    starts = [
        subprocess.Popen(
            checkout.command(), cwd=checkout.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    ends = [(*start.communicate(), start.returncode) for start in starts]
    assert [status for _, _, status in ends] == [0, 0, 0], ends
    assert sum("Installing the packages" in said for _, said, _ in ends) == 1


@pytest.mark.long
@pytest.mark.parametrize("hashes", [f"--hash=sha256:{'0' * 64}", ""])
def test_a_wheel_that_is_not_locked_by_its_hash_is_refused(checkout, hashes):
    lock = checkout.path / "requirements-dev.lock"
    lock.write_text(re.sub("--hash=sha256:[0-9a-f]+", hashes, lock.read_text()))
    refused = checkout.start()
    assert refused.returncode == 1
    assert "pip stopped" in refused.stderr
    assert "Traceback" not in refused.stderr
    checkout.lock("1.0")
    assert answer(checkout.start())["version"] == "1.0"


@pytest.mark.long
def test_a_persons_own_environment_is_only_added_to(checkout):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout.environment], check=True)
    (checkout.environment / "theirs").touch()
    assert answer(checkout.start())["version"] == "1.0"
    assert (checkout.environment / "theirs").exists()
    assert not checkout.marker.exists()
    checkout.lock("2.0")
    assert answer(checkout.start())["version"] == "1.0"  # it has what is needed: used as it is


def test_what_is_in_the_way_is_named_and_left_alone(checkout):
    checkout.environment.mkdir()
    (checkout.environment / "diary.txt").write_text("dear diary")
    start = checkout.start()
    assert start.returncode == 1
    assert "Delete that folder" in start.stderr
    assert (checkout.environment / "diary.txt").read_text() == "dear diary"


def test_an_environment_that_has_everything_is_used_as_it_is(checkout):
    (checkout.path / "wanted.py").write_text("version = 'here'")
    assert answer(checkout.start()) == {"prefix": sys.prefix, "arguments": [], "version": "here"}
    assert not checkout.environment.exists()


def test_an_installed_bot_names_what_to_install(checkout):
    (checkout.path / "requirements-dev.lock").unlink()
    start = checkout.start()
    assert start.returncode == 1
    assert 'pip install "tumblrbot-discord[demo]"' in start.stderr
    assert not checkout.environment.exists()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_true_lock_installs_into_a_fresh_checkout(tmp_path):
    """As a newcomer's machine would: the system's Python, its own ensurepip or pip, and the registry."""
    base = getattr(sys, "_base_executable", sys.executable)
    pin = re.search(r"^iniconfig==.*(\n {4}--hash.*)+", (CHECKOUT / "requirements-dev.lock").read_text(), re.MULTILINE)
    probe = tmp_path / "probe.lock"
    probe.write_text(pin.group())
    command = [base, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes", "-r", probe, "-d", tmp_path]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("pip reaches no package registry from here")

    fresh = tmp_path / "fresh"
    files = ("bot/__init__.py", "bot/bootstrap.py", "tests/__init__.py", "tests/__main__.py")
    for file in (*files, "pyproject.toml", "requirements-dev.lock"):
        (fresh / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / file, fresh / file)
    (fresh / "tests" / "test_fresh.py").write_text("import discord, openai, pytumblr, simcord, matplotlib.pyplot\n")
    run = subprocess.run([base, "-m", "tests", "-n", "0"], cwd=fresh, check=False, capture_output=True, text=True)
    assert run.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, run.stdout + run.stderr  # imported, and empty
    assert "error" not in run.stdout
    shutil.rmtree(fresh / ".venv")  # a gigabyte


def test_every_module_of_the_bot_has_its_place_in_the_layers():
    (layers,) = [each["layers"] for each in PROJECT["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    placed = {name for layer in layers for name in re.split(r" [:|] ", layer)}
    there = {f"bot.{path.stem}" for path in (CHECKOUT / "bot").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert placed - {"cogs"} == there - {"bot.__init__", "bot.__pycache__"}
