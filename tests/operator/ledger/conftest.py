"""The ledger that most of these tests ask."""

import contextlib

import pytest

from harness.ledger_under_test import LedgerUnderTest, document


@pytest.fixture
async def ledger(tmp_path):
    """A ledger with one budget of 10 dollars a day and one sidecar."""
    under_test = await LedgerUnderTest(str(tmp_path)).start()
    await under_test.put_budgets(document())
    await under_test.put_identity()
    yield under_test
    with contextlib.suppress(Exception):
        await under_test.stop()
