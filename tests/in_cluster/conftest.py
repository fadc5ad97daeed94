"""A whole cluster with the chart and a provider in it, begun once and only where a test asks for it."""

import os
import secrets

import pytest

from cluster import choose, install, provider
from cluster.refusals import NotHereError


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A real cluster with the images loaded; without one tests are skipped, and fail where CI=true."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
                patch.delenv(name)
        running = choose.running()
        try:
            api = running.__enter__()
        except NotHereError as why:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI needs a real cluster: {why}")
            pytest.skip(f"no cluster: {why}")
        try:
            yield api
        finally:
            running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def providers(cluster, tmp_path_factory):
    """OpenAI and Anthropic, simulated, with a bill of their own."""
    return provider.start(cluster, tmp_path_factory.mktemp("providers"))


@pytest.fixture(scope="session")
def installed(cluster, tmp_path_factory):
    """The chart, installed and ready."""
    return install.install(cluster, tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def fresh():
    """Names that no earlier run has used: a budget that comes back under its name has what it spent before."""
    mark = secrets.token_hex(2)
    return lambda name: f"{name}-{mark}"
