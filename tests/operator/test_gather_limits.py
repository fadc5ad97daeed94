"""The gathered table takes only what agrees with the price data, and says where it is from."""

from datetime import UTC, datetime

from wfb_operator.prices.gather_limits import gather
from wfb_operator.prices.limits import gathered

AT = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
TABLE = {
    "xai/grok-4.7": {"litellm_provider": "xai", "mode": "chat", "max_output_tokens": 9, "max_input_tokens": 90},
    "xai/grok-4.7-latest": {"litellm_provider": "xai", "mode": "chat", "max_output_tokens": 8, "max_input_tokens": 99},
    "own/model": {"litellm_provider": "nobody", "mode": "chat", "max_output_tokens": 7},
    "amazon.nova-pro-v1:0": {
        "litellm_provider": "bedrock_converse",
        "mode": "chat",
        "input_cost_per_token": 8e-07,
        "input_cost_per_token_flex": 4e-07,
        "output_cost_per_token": 3.2e-06,
        "output_cost_per_token_flex": 1.6e-06,
    },
    "amazon.nova-lite-v1:0": {
        "litellm_provider": "bedrock_converse",
        "mode": "chat",
        "input_cost_per_token": 9e-08,
        "input_cost_per_token_flex": 4e-08,
        "output_cost_per_token": 2.4e-07,
        "output_cost_per_token_flex": 1.2e-07,
    },
}


def test_bounds_are_the_highest_of_all_names():
    """Two names of one entry bound it together, and a provider the price data does not have is left out."""
    found = gather(TABLE, "2026-11-24", AT)

    assert found["bounds"]["x-ai"] == {"grok-4.7": [9, 99]}
    assert found["date"] == "2026-11-24"
    assert "nobody" not in found["bounds"]


def test_rates_are_taken_where_both_agree_on_the_standard_price():
    """A row whose standard price is another's says nothing of tiers; a class it leaves out is multiplied alike."""
    found = gather(TABLE, "2026-11-24", AT)["rates"]["aws"]

    assert found == {
        "amazon.nova-pro-v1:0": {"flex": {"input": 400_000_000, "output": 1_600_000_000, "cache_read": 100_000_000}}
    }


def test_the_table_in_the_package_is_whole():
    """Each part of it is there, with its source and its day."""
    table = gathered()

    assert {"openai", "google", "aws", "azure", "mistral", "x-ai"} <= table["bounds"].keys()
    assert {"openai", "aws", "azure"} <= table["rates"].keys()
    assert table["source"].startswith("https://")
    assert table["date"] == "2026-11-24"
