"""The environments of the SDKs, one for each generation that does not resolve with the others, built from their locks.

Each folder below ``environments/`` holds what is asked for and its lock with hashes. What is built is kept outside the
checkout, under a key of the lock, so an unchanged lock costs nothing. Run: python tests/sdks/build.py [NAME …]; without
names, all of them, a line for each. What cannot be built is said, and left to the tests to judge.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / "environments"
NAMES = tuple(sorted(path.name for path in ENVIRONMENTS.iterdir() if path.is_dir()))
NODE = "node"
"""The one of npm's packages, with a Node of its own; the others are Python's."""

Tell = Callable[[str], None]
"""Where a line for the person who waits goes."""


class NotHereError(RuntimeError):
    """An environment is not built and cannot be built here; the message names the way out."""


def quietly(line: str) -> None:
    """Tells nobody."""


def cache() -> Path:
    """Where what is built is kept: outside the checkout, shared by all checkouts of one user."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "wfb" / "sdks"


def lock_of(name: str) -> Path:
    """The lock of an environment."""
    return ENVIRONMENTS / name / ("package-lock.json" if name == NODE else "requirements.lock")


def folder_of(name: str) -> Path:
    """Where an environment is or will be: named by its lock and by the Python that runs it."""
    digest = hashlib.sha256(lock_of(name).read_bytes())
    if name != NODE:
        digest.update(f"{sys.base_prefix} {sys.version}".encode())
    return cache() / f"{name}-{digest.hexdigest()[:24]}"


def program(name: str) -> Path:
    """The interpreter of an environment."""
    return folder_of(name) / ("node_modules/.bin/node" if name == NODE else "bin/python")


def built(name: str) -> bool:
    """Whether an environment is there and whole."""
    return (folder_of(name) / "built").exists()


def build(name: str, tell: Tell = quietly) -> None:
    """Builds an environment where it is missing; raises NotHereError."""
    folder = folder_of(name)
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs build it once
        if built(name):
            return
        tell(f"building the SDKs of {name} (the first time only; up to a minute)")
        began = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        (_node if name == NODE else _python)(name, folder)
        (folder / "built").touch()
        tell(f"built the SDKs of {name} in {time.monotonic() - began:.0f} s")


def _python(name: str, folder: Path) -> None:
    uv = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
    if uv is None:
        raise NotHereError("uv is missing: run the tests with the Python of `make setup`")
    _run(name, uv, "venv", "--quiet", "--python", sys.executable, str(folder))
    into = ("--python", str(folder / "bin" / "python"))
    _run(name, uv, "pip", "sync", "--quiet", *into, "--require-hashes", "--only-binary", ":all:", str(lock_of(name)))


def _node(name: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotHereError("npm is missing: install Node 20 or newer with npm")
    folder.mkdir()
    for file in (ENVIRONMENTS / name).iterdir():
        shutil.copy(file, folder)
    _run(name, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))


def _run(name: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHereError(f"the SDKs of {name} could not be built: {(done.stderr or done.stdout).strip()[-2000:]}")


def main(names: list[str]) -> None:
    """Builds the environments of these names."""
    for name in names or NAMES:
        try:
            build(name, lambda line: print(line, flush=True))
        except NotHereError as why:
            print(f"no SDKs here: {why}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
