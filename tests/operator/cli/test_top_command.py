"""`wfb top` while it is drawn anew: books that are away for a moment do not end it."""

import pytest
from rich.console import Console

from harness.store_books import StoreBooks
from wfb_operator.cli.state import LedgerError
from wfb_operator.cli.top import look_again, screen
from wfb_operator.showback.now import look

T0 = 1_800_000_000.0


@pytest.fixture
def last(tmp_path):
    """A look at books that hold nothing."""
    return look(StoreBooks(tmp_path), T0, 15, 8, {})


def failing(status):
    """Books that do not answer."""

    def seen():
        raise LedgerError("the books of namespace billing cannot be read: the API server does not answer", status)

    return seen


def test_a_moment_without_books_leaves_the_last_look(last):
    """It stays, with one sentence above it that says of when it is; the next look takes the sentence away."""
    now, problem = look_again(failing(502), last)
    console = Console(width=120)
    with console.capture() as drawn:
        console.print(screen(now, "namespace billing", problem))
    assert now is last
    assert "the API server does not answer" in drawn.get()
    assert "shown as of" in drawn.get().splitlines()[0]
    assert look_again(lambda: last, last) == (last, "")


@pytest.mark.parametrize("status", [0, 401, 403, 404, 422])
def test_what_stays_wrong_ends_it(last, status):
    """A right that was taken away, or a ledger of this machine that has gone, is an error and no pause."""
    with pytest.raises(LedgerError):
        look_again(failing(status), last)
