"""What a holder may reserve without asking: the least slack of all windows of a call."""

import pytest

from wfb_core.grants import Wallet
from wfb_core.grants.purse import Purse


@pytest.mark.parametrize(
    ("purses", "windows", "hand"),
    [
        ({"a": Purse(100, 30, 20)}, ("a",), 50),
        ({"a": Purse(100, 30, 20), "b": Purse(40)}, ("a", "b"), 40),
        ({"a": Purse(100, 120, 0)}, ("a",), 0),
        ({"a": Purse(100)}, ("a", "new"), 0),
        ({"a": Purse(100)}, (), 0),
    ],
)
def test_what_is_at_hand(purses, windows, hand):
    """Nothing where a window is new, and never below nothing."""
    wallet = Wallet("pod/1", lambda _: None, purses=purses)
    assert wallet.at_hand(windows) == hand
