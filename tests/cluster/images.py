"""The images of a test cluster, made on this machine without a registry and kept outside the checkout by what they are made of.

``base`` is Debian (debootstrap) with the Python that runs the tests, under the name that scripts/images.sh builds on; the
project's own two images are built by that script; ``agents`` holds the clients that the tests run and the provider simulator.
"""

import fcntl
import hashlib
import importlib.metadata
import inspect
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster import binaries, layers
from cluster.refusals import NotHereError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BASE = "docker.io/library/wfb-tests-base:1"
AGENTS = "docker.io/wfb-tests/agents:1"
PREFIX = "docker.io/wfb-tests"
PATH = "/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CLEAN = ("HOME", "LANG", "TMPDIR", "PIP_CERT", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_FIND_LINKS", "XDG_CACHE_HOME")
_PYTHON_LEAVES_OUT = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "__pycache__",
    "*.a",
    "site-packages",
)


def archives(tell: binaries.Tell = binaries.quietly) -> list[Path]:
    """All images that a cluster is loaded with; raises NotHereError where one cannot be made."""
    return [_pause(tell), *project(tell), agents(tell)]


def cache() -> Path:
    """Where they are kept."""
    return binaries.cache() / "images"


@contextmanager
def _kept(name: str, made_of: Iterable[bytes | Path | str], tell: binaries.Tell) -> Iterator[tuple[Path, bool]]:
    """The folder of something made of these, and whether it is there already; older ones of the name are removed."""
    digest = hashlib.sha256()
    for part in made_of:
        digest.update(_bytes(part) + b"\0")
    folder = cache() / f"{name}-{digest.hexdigest()[:32]}"
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done"
        if done.exists():
            os.utime(folder)
            yield folder, True
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        tell(f"making the image {name}")
        began = time.monotonic()
        yield folder, False
        done.touch()
        tell(f"made the image {name} in {time.monotonic() - began:.0f} s")
        older = sorted(cache().glob(f"{name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)[3:]
        for path in older:
            shutil.rmtree(path, ignore_errors=True)


def _bytes(part: bytes | Path | str) -> bytes:
    if isinstance(part, Path):
        return str(part.relative_to(ROOT)).encode() + b"\0" + part.read_bytes()
    return part if isinstance(part, bytes) else part.encode()


def _files(*folders: str) -> list[Path]:
    listed = subprocess.run(
        ["find", *folders, "-type", "f", "-not", "-path", "*/__pycache__/*", "-not", "-path", "*/node_modules/*"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / line for line in sorted(listed.stdout.splitlines())]


def _run(*command: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> None:
    inherited = {key: os.environ[key] for key in _CLEAN if key in os.environ}
    path = {"PATH": os.environ.get("PATH", PATH)}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, **path, **(env or {})},
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise NotHereError(f"{' '.join(command)[:300]}: status {done.returncode}\n{done.stdout[-3000:]}")


def _pause(tell: binaries.Tell) -> Path:
    from cluster.parts import PAUSE

    with _kept("pause", _files("tests/cluster/pause"), tell) as (folder, there):
        if not there:
            _go(HERE / "pause", folder / "root" / "pause")
            one = layers.layer(folder / "root", folder / "pause.layer")
            layers.archive(folder / "pause.tar", PAUSE, [one], {"Entrypoint": ["/pause"]})
    return folder / "pause.tar"


def _go(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    go = shutil.which("go")
    if not go:
        raise NotHereError("Go is not installed: it builds a part of the cluster's images")
    env = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    _run(go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(to), ".", env=env, cwd=source)


# -- the base


def base(tell: binaries.Tell = binaries.quietly) -> layers.Layer:
    """Debian of this machine's suite with this machine's Python, as one layer."""
    suite = _suite()
    recipe = [inspect.getsource(step) for step in (base, _python, _libraries)]
    made_of = [suite, sys.version, sys.base_prefix, *recipe]
    with _kept("base", made_of, tell) as (folder, there):
        if not there:
            root = folder / "root"
            told = ["--variant=minbase", "--include=ca-certificates,curl,iptables", suite, str(root)]
            _run("debootstrap", *told)
            _run("chroot", str(root), "apt-get", "clean")
            for cleared in ("var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"):
                shutil.rmtree(root / cleared, ignore_errors=True)
            for device in (root / "dev").iterdir():  # a runtime makes its own
                _run("rm", "-rf", str(device))
            _python(root)
            layers.layer(root, folder / "base.layer")
            shutil.rmtree(root)
    return layers.Layer(folder / "base.layer")


def _suite() -> str:
    text = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\S+)", text, re.MULTILINE)
    if not found or not re.search(r"^ID=debian$", text, re.MULTILINE):
        raise NotHereError("the base image is made by debootstrap, on Debian: set WFB_TEST_KUBECONFIG elsewhere")
    return found[1]


def _python(root: Path) -> None:
    """Copies the interpreter below /opt/python, and the libraries of this machine that it needs and the image lacks."""
    to = root / "opt" / "python"
    shutil.copytree(sys.base_prefix, to, symlinks=True, ignore=shutil.ignore_patterns(*_PYTHON_LEAVES_OUT))
    library = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("pip",):
        source = Path(sys.base_prefix) / library / "site-packages" / name
        shutil.copytree(source, to / library / "site-packages" / name, ignore=shutil.ignore_patterns("__pycache__"))
    _libraries(to, root)
    (root / "etc" / "ld.so.conf.d" / "python.conf").write_text("/opt/python/lib\n")
    _run("chroot", str(root), "ldconfig")
    _run("chroot", str(root), "/opt/python/bin/python3", "-c", "import ssl, sqlite3, ctypes, lzma, bz2, zlib, readline")


def _libraries(programs: Path, root: Path) -> None:
    objects = [path for path in programs.rglob("*") if path.is_file() and not path.is_symlink() and _is_elf(path)]
    for one in objects:
        told = subprocess.run(["ldd", str(one)], capture_output=True, text=True, check=False).stdout
        for needed in re.findall(r"=> (/\S+)", told):
            if needed.startswith((str(programs), sys.base_prefix)):
                continue
            place = Path(needed).parent.resolve() / Path(needed).name  # /lib is a link, and must stay one in the image
            inside = root / str(place).lstrip("/")
            if not inside.exists():
                inside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(needed).resolve(), inside)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


# -- the project's own


def tag() -> str:
    """The tag of the project's images: another one for every change, so that an upgrade is one."""
    return hashlib.sha256(b"".join(map(_bytes, _project_files()))).hexdigest()[:12]


def _project_files() -> list[Path]:
    return _files("core", "operator", "sidecar", "scripts/images.sh", "pyproject.toml", "README.md", "LICENSE")


def project(tell: binaries.Tell = binaries.quietly) -> list[Path]:
    """Operator and sidecar, built by scripts/images.sh as for a user, on `base`."""
    lower = base(tell)
    with _kept("project", [lower.digest, *_project_files()], tell) as (folder, there):
        if not there:
            base_archive = layers.archive(folder / "base.tar", BASE, [lower], {"Env": [f"PATH={PATH}"]})
            storage = cache() / "buildah"
            storage.mkdir(exist_ok=True)
            settings = folder / "storage.conf"
            settings.write_text(
                f'[storage]\ndriver = "overlay"\ngraphroot = "{storage}/graph"\nrunroot = "{storage}/run"\n'
            )
            env = {"CONTAINERS_STORAGE_CONF": str(settings), "BUILDAH_ISOLATION": "chroot"}
            _run("buildah", "pull", "-q", f"docker-archive:{base_archive}", env=env)
            told = {
                "BASE": BASE,
                "PREFIX": PREFIX,
                "TAG": tag(),
                "BUILD_ARGS": "--pull=never",
                "PYTHON": sys.executable,
            }
            _run("sh", "scripts/images.sh", env={**env, **told})
            for part in ("operator", "sidecar"):
                name = f"{PREFIX}/{part}:{tag()}"
                _run("buildah", "push", "-q", name, f"docker-archive:{folder}/{part}.tar:{name}", env=env)
            _run("buildah", "rmi", "--all", "--force", env=env)
            base_archive.unlink()
    return [folder / "operator.tar", folder / "sidecar.tar"]


# -- the agents


def agents(tell: binaries.Tell = binaries.quietly) -> Path:
    """Clients of providers in Python, Node, Go, Java and shell, as the tests run them, and the simulator they talk to."""
    lower = base(tell)
    packages = {
        name: importlib.metadata.version(name)
        for name in _needed("openai", "anthropic", "grpcio", "httpx", "websockets")
    }
    files = _files("tests/cluster/agents", "tests/simulator")
    java = _java()
    with _kept(
        "agents", [lower.digest, inspect.getsource(agents), str(sorted(packages.items())), java.name, *files], tell
    ) as (folder, there):
        if not there:
            root = folder / "root"
            _site_packages(root / "opt" / "agents" / "python", packages)
            shutil.copytree(
                HERE / "agents", root / "agents", ignore=shutil.ignore_patterns("node_modules", "go", "java")
            )
            _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=root / "agents" / "node")
            _go(HERE / "agents" / "go", root / "agents" / "go" / "agent")
            _run("javac", "-d", str(root / "agents" / "java"), str(HERE / "agents" / "java" / "Agent.java"))
            ignored = shutil.ignore_patterns("jmods", "man", "src.zip", "*.so.debug", "docs", "demo", "legal")
            shutil.copytree(java, root / "opt" / "java", ignore=ignored, ignore_dangling_symlinks=True)
            _libraries(root / "opt" / "java", root)
            shutil.copytree(
                ROOT / "tests" / "simulator",
                root / "agents" / "simulator",
                ignore=shutil.ignore_patterns("__pycache__"),
            )
            upper = layers.layer(root, folder / "agents.layer")
            env = [f"PATH={PATH}:/opt/java/bin", "PYTHONPATH=/opt/agents/python:/agents", "PYTHONDONTWRITEBYTECODE=1"]
            layers.archive(folder / "agents.tar", AGENTS, [lower, upper], {"Env": env, "WorkingDir": "/agents"})
            shutil.rmtree(root)
    return folder / "agents.tar"


def _java() -> Path:
    program = shutil.which("javac")
    if not program:
        raise NotHereError("javac is not installed: run scripts/cluster-packages.sh")
    return Path(program).resolve().parent.parent


def _needed(*names: str) -> set[str]:
    """Installed distributions with all that they require here."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _site_packages(to: Path, names: Iterable[str]) -> None:
    for name in names:
        for file in importlib.metadata.files(name) or ():
            if str(file).startswith("..") or str(file).endswith(".pyc"):
                continue
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file.locate(), to / file)
