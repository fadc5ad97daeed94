"""Programs of the system that tests run."""

import os
import shutil

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
"""The names of the browser, Debian's first."""


def program(*names: str, package: str) -> str:
    """The path of the first of these that is installed; without any, tests are skipped, and fail where CI=true.

    ``package`` is the Debian package that has it.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        why = f"no {names[0]}: run scripts/cluster-packages.sh {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs {names[0]}: {why}")
        pytest.skip(why)
    return found
