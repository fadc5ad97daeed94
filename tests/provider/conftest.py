"""A simulated provider that listens, for the tests of its dialects."""

import pytest

from simulator import Provider, running


@pytest.fixture
async def provider():
    """A provider that bills abandoned streams whole."""
    return Provider()


@pytest.fixture
async def urls(provider):
    """Where it listens."""
    async with running(provider) as urls:
        yield urls
