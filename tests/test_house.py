"""The house: what must stay true of the tree itself, so that it starts, installs and reads alike everywhere.

Four folders never hold an ``__init__.py`` at their top: ``operator/``, ``sidecar/``, ``core/`` and ``tests/``. With one,
Python run from the repository's root takes ``operator/`` for a package and finds it before the standard library's module
of that name, which ``collections`` needs: the interpreter does not even start. ``core/`` and ``sidecar/`` are its
neighbours on the same path, and ``tests/`` is a folder of tests, not a package that could shadow another.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOPS = ("operator", "sidecar", "core", "tests")


def tracked():
    """The files that git knows, without those deleted from the tree; the test is skipped where there is no git."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("top", TOPS)
def test_no_package_at_the_top(top):
    """A package at one of these places would shadow a module that others need."""
    assert (ROOT / top).is_dir()
    assert not (ROOT / top / "__init__.py").exists()


def test_the_standard_library_keeps_its_operator():
    """Python started in the repository's root, which is then on its path, still finds its own ``operator``."""
    program = "import operator, sys; print(sys.path[0] in ('', sys.argv[1])); print(operator.__file__)"
    isolated = {key: value for key, value in os.environ.items() if key not in ("PYTHONSAFEPATH", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT)], cwd=ROOT, env=isolated, capture_output=True, text=True, check=True
    )
    on_path, found = done.stdout.splitlines()
    assert on_path == "True"
    assert not Path(found).is_relative_to(ROOT / "operator")
    assert Path(found).name == "operator.py"


def requirements():
    """The lock as (requirement, its lines); a requirement's hashes follow it, indented."""
    found = []
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():
            found[-1][1].append(line)
        else:
            found.append((line, []))
    return found


def test_the_lock_has_no_addresses():
    """A lock that names an index or a file installs only where that can be reached."""
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        address = re.search(r"https?:|file:|git\+|\s@\s|--(extra-)?index-url|--find-links|--trusted-host", line)
        assert not address, line


def test_the_lock_pins_and_hashes_everything():
    """Every dependency has one version and at least one sha256."""
    assert len(requirements()) > 20
    for requirement, hashes in requirements():
        assert re.match(r"[A-Za-z0-9._\[\],-]+==[^\s;]+( ;.*)? \\$", requirement), requirement
        assert hashes, requirement
        for line in hashes:
            assert re.fullmatch(r"\s+--hash=sha256:[0-9a-f]{64}( \\)?", line), (requirement, line)


# Written in two halves, or the list would find itself.
FORBIDDEN = [
    re.compile("".join(halves), re.IGNORECASE)
    for halves in (
        (r"(?<![\w.-])/wo", r"rk/"),  # where one machine keeps its checkout
        (r"(?<![\w/])sha", r"red/"),  # notes beside the project
        (r"\.pyenv/ver", r"sions/\d"),  # one machine's Python
        (r"/tmp/br", r"ief"),
        (r"/ho", r"me/(?!app\b|user\b|nonroot\b)\w+/"),
        (r"grants", r"_sim\b"),
        (r"\b(this|another|previous) ses", r"sion\b"),  # what is written is about the project, not about its writing
        (r"\bref", r"erence code\b"),
        (r"\bhelper'?s'? (agent|bri", r"ef)\b"),
        (r"co-auth", r"ored-by"),
        (r"BEGIN [A-Z ]*PRIV", r"ATE KEY"),
    )
]
BINARY = (".png", ".gif", ".jpg", ".ico", ".woff2", ".gz", ".zst", ".bin")


def test_nothing_tracked_speaks_of_where_it_was_written():
    """No file names one machine's paths, the notes beside the project, or the work that made it; no key is kept."""
    found = []
    for name in tracked():
        if name.endswith(BINARY):
            continue
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
            found += [f"{name}:{number}: {match[0]}" for words in FORBIDDEN for match in words.finditer(line)]
    assert found == []


@pytest.mark.parametrize(
    ("line", "number"),
    [("see /wo" + "rk/main", 1), ("in sha" + "red/design.md", 1), ("/ho" + "me/jane/x", 1), ("/usr/sha" + "re/x", 0)],
)
def test_the_forbidden_words_are_found(line, number):
    """The list finds what it is for, and lets ordinary paths be."""
    assert sum(bool(words.search(line)) for words in FORBIDDEN) == number


def test_nothing_made_by_a_run_is_tracked():
    """Caches, environments, databases and sockets stay out of the history."""
    made = re.compile(
        r"(^|/)(__pycache__|\.venv|\.hypothesis|\.(mypy|ruff|pytest)_cache|[^/]+\.egg-info)/"
        r"|\.(pyc|sqlite3?|db|db-wal|db-shm|sock|log)$"
    )
    assert [name for name in tracked() if made.search(name)] == []


def test_every_lint_exception_has_its_reason():
    """Each rule that is switched off in pyproject.toml says why, on its line."""
    text = (ROOT / "pyproject.toml").read_text()
    lint = text.partition("[tool.ruff.lint]")[2].partition("[tool.ruff.lint.isort]")[0]
    rules = [line.strip() for line in lint.splitlines() if re.match(r'\s+"[A-Z]+[0-9]*"', line)]
    rules += [line.strip() for line in lint.splitlines() if re.match(r'"[^"]+" = \["', line)]
    assert len(rules) > 10
    assert [rule for rule in rules if not re.search(r"#\s*\S.{7,}", rule)] == []


def test_every_exception_in_code_names_its_rule():
    """A blanket ``noqa`` or ``type: ignore`` hides what comes later: each names the rule it is for."""
    blanket = re.compile(r"#\s*(noqa(?!: ?[A-Z]+[0-9]+)|type: ignore(?!\[))")
    found = [
        f"{name}:{number}"
        for name in tracked()
        if name.endswith(".py") and name != "tests/test_house.py"
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        if blanket.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "LICENSE", "Makefile", "requirements.lock"])
def test_what_a_visitor_looks_for(name):
    """The files that every reader expects at the root are there, and hold something."""
    assert (ROOT / name).stat().st_size > 0


THROUGH_OTHERS = {
    "wfb_core.call": "every test of a dialect reads a CallFacts",
    "wfb_core.budget": "what a document parses to",
    "wfb_core.reasons": "constants and their sentences",
    "wfb_core.selectors": "test_document",
}
"""Modules of the core that need no test of their own name, and where they are tried instead."""


OWED: set[str] = set()
"""Modules of the core that still lack a test of their own. It may only shrink: one that has its test leaves the set."""


def core_modules():
    """Every module of the core by its dotted name, packages by theirs."""
    core = ROOT / "core"
    paths = sorted((core / "wfb_core").rglob("*.py"))
    return [".".join(path.relative_to(core).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def imported_by_tests():
    """The modules of the core that some test imports: ``wfb_core.a`` of ``from wfb_core.a import …`` and the like."""
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return found


def test_the_core_is_tested_by_name():
    """Each module of the core, or the package whose inside it is, is imported by a test, or stated above with why not."""
    imported = imported_by_tests()
    untested = {
        module
        for module in core_modules()
        if module != "wfb_core" and module not in imported and module.rpartition(".")[0] not in imported - {"wfb_core"}
    }
    assert untested - THROUGH_OTHERS.keys() == OWED


def test_test_files_have_names_of_their_own():
    """Test folders are no packages, so two test files of one name could be taken for each other."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
