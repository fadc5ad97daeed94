"""docs/sdks.md: it has a row for every SDK, and the lines that it gives are the lines that are tried."""

import json
import re

import pytest

from sdks import build
from sdks.page import PAGE, tables
from sdks.rows import ROWS
from sdks.rungs import RUNGS

PAGE_SAYS = tables(PAGE.read_text())


def test_it_has_every_sdk_and_every_rung():
    """No row and no column is missing, and none is there that nobody tries."""
    assert list(PAGE_SAYS) == [row.name for row in ROWS]
    for cells in PAGE_SAYS.values():
        assert set(cells) == {*RUNGS, "the budget", "the status"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_its_lines_are_those_that_are_tried(row):
    """What a user copies from it is what the drivers run."""
    assert PAGE_SAYS[row.name]["the budget"] == f"`{row.budget}`"
    assert PAGE_SAYS[row.name]["the status"] == f"`{row.status}`"


@pytest.mark.parametrize("name", [name for name in build.NAMES if name != build.NODE])
def test_a_lock_of_python_has_hashes_and_no_addresses(name):
    """It installs from whichever index a machine has, and nothing else than what was locked."""
    requirements = 0
    for line in build.lock_of(name).read_text().splitlines():
        assert not re.search(r"https?:|file:|git\+|\s@\s|--(extra-)?index-url|--find-links", line), line
        if re.match(r"[a-z0-9]", line):
            requirements += 1
            assert re.match(r"[\w.\[\]-]+==[^\s;]+( ;.*)? \\$", line), line
    assert requirements > 10


def test_the_lock_of_node_has_hashes_and_no_addresses():
    """The same of npm's."""
    packages = json.loads(build.lock_of(build.NODE).read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert len(installed) > 5
    for name, package in installed.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


@pytest.mark.parametrize(
    ("environment", "package", "major"),
    [
        ("older", "openai", "1"),
        ("litellm", "openai", "2"),
        ("newest", "openai", "3"),
        ("older", "anthropic", "0.69"),
        ("newest", "anthropic", "2"),
    ],
)
def test_a_generation_is_what_its_row_says(environment, package, major):
    """A lock made anew does not move a row to another generation unnoticed."""
    assert re.search(rf"^{package}=={re.escape(major)}\.", build.lock_of(environment).read_text(), re.MULTILINE)
