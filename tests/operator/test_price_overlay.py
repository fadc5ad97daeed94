"""A contract's prices: applied where they say, shown beside the list's, and any slip told by line and field."""

import argparse
import datetime
from pathlib import Path
from typing import Any

import pytest

from wfb_core.price import ModelPrice, PriceBook, cost
from wfb_core.usage import Usage
from wfb_operator.cli import prices as command
from wfb_operator.prices.compile import compile_snapshot
from wfb_operator.prices.overlay import load_overlay

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC).timestamp()
DAY = 86_400.0
CONTRACT = """\
prices:
  - provider: openai
    multiplier: "0.85"
  - provider: openai
    model: gpt-5
    host: "*.api.openai.com"
    multiplier: "0.5"
  - provider: openai
    model: gpt-5
    tier: scale
    rates: {input: "0.10", output: "0.40"}
  - provider: anthropic
    model: claude-haiku-*
    from: 2026-12-01
    multiplier: "0.90"
  - provider: azure
    deployment: team-chat
    model: gpt-4o
  - provider: azure
    deployment: Team-Fast
    model: gpt-4o-mini
    rates: {input: "0.10", output: "0.30"}
  - provider: perplexity
    model: sonar
    rates: {requests: "0.004"}
  - provider: vllm
    model: own-*
    rates: {input: "0.02", cache_read: "0", output: "0.08"}
"""
LIST = PriceBook.from_snapshot(compile_snapshot("now", None).data)


def book(tmp_path: Path, text: str, name: str = "contract.yaml") -> PriceBook:
    path = tmp_path / name
    path.write_text(text)
    return PriceBook.from_snapshot(compile_snapshot("now", None, overlay=load_overlay(path)).data)


def price(book: PriceBook, provider: str, model: str, at: float = NOW, host: str = "") -> ModelPrice:
    found = book.find(provider, model, at, host)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def contract(tmp_path_factory: Any) -> PriceBook:
    return book(tmp_path_factory.mktemp("contract"), CONTRACT)


class TestApplied:
    def test_a_multiplier_changes_every_class_tier_and_unit(self, contract: PriceBook):
        """And the list's price stays beside it, to the nano-dollar."""
        ours, listed = price(contract, "openai", "gpt-4.1"), price(LIST, "openai", "gpt-4.1")
        usage = Usage(1_000_000, 100_000, output_tokens=50_000, units=(("web_searches", 3),))
        for tier in (None, *listed.tiers):
            mine, theirs = ours.rates_for(0, tier), listed.rates_for(0, tier)
            assert mine is not None
            assert theirs is not None
            assert mine.listed == theirs
            assert mine.input * 100 == theirs.input * 85
            found = cost(usage, mine)
            assert found.list_total == cost(usage, theirs).total
            assert found.total * 100 == found.list_total * 85
        assert "contract.yaml:2" in ours.source
        assert price(contract, "anthropic", "claude-opus-5-5").source.startswith("genai-prices")

    def test_a_price_without_a_contract_is_its_own_list_price(self):
        """So that both can always be summed."""
        rates = price(LIST, "openai", "gpt-4o").rates_for(0)
        assert rates is not None
        found = cost(Usage(1_000, output_tokens=10), rates)

        assert found.total == found.list_total > 0

    def test_a_host_has_its_own_price(self, contract: PriceBook):
        """Calls to other hosts do not, and neither is raised again for its region."""
        here = price(contract, "openai", "gpt-5", host="eu.api.openai.com").rates_for(0)
        there = price(contract, "openai", "gpt-5", host="api.openai.com").rates_for(0)
        listed = price(LIST, "openai", "gpt-5").rates_for(0)

        assert here is not None
        assert there is not None
        assert listed is not None
        assert there.input * 100 == listed.input * 85
        assert here.input * 1000 == listed.input * 425
        assert price(contract, "openai", "gpt-4o", host="eu.api.openai.com").model == "gpt-4o"
        assert contract.hosts("openai") == ("*.api.openai.com",)
        assert "openai@*.api.openai.com" not in contract.providers()

    def test_a_tier_that_the_list_does_not_know_may_be_stated(self, contract: PriceBook):
        """Absolute rates for it alone; what it leaves out is the standard tier's."""
        found = price(contract, "openai", "gpt-5")
        scale, standard = found.rates_for(0, "scale"), found.rates_for(0)

        assert scale is not None
        assert standard is not None
        assert (scale.input, scale.output) == (100_000_000, 400_000_000)
        assert scale.cache_read == standard.cache_read
        assert price(LIST, "openai", "gpt-5").rates_for(0, "scale") is None

    def test_a_dated_row_counts_from_its_day(self, contract: PriceBook):
        """Before it the list's price, and the change is announced."""
        start = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC).timestamp()
        before, after = (price(contract, "anthropic", "claude-haiku-4-5", at) for at in (start - 1, start))

        for tier in (None, "batch"):
            plain, cheap = before.rates_for(0, tier), after.rates_for(0, tier)
            assert plain is not None
            assert cheap is not None
            assert (plain.listed, cheap.input * 10) == (None, plain.input * 9)
        assert start in contract.changes("anthropic", "claude-haiku-4-5")

    def test_deployments_are_models_by_another_name(self, contract: PriceBook):
        """At the model's price or their own, whatever case the name is written in."""
        chat, fast = price(contract, "azure", "team-chat"), price(contract, "azure", "TEAM-fast")
        listed, mini = price(LIST, "azure", "gpt-4o"), price(LIST, "azure", "gpt-4o-mini")

        assert chat.standard == listed.standard
        assert (chat.max_output, chat.context) == (listed.max_output, listed.context)
        rates = fast.rates_for(0)
        assert rates is not None
        assert (rates.input, rates.output) == (100_000_000, 300_000_000)
        assert rates.listed == mini.rates_for(0)

    def test_a_fee_may_be_stated_alone(self, contract: PriceBook):
        """The rates of tokens stay the list's."""
        ours, listed = (
            price(contract, "perplexity", "sonar").rates_for(0),
            price(LIST, "perplexity", "sonar").rates_for(0),
        )

        assert ours is not None
        assert listed is not None
        assert (ours.unit("requests"), ours.input) == (4_000_000_000_000, listed.input)

    def test_an_own_server_is_priced_by_its_rates(self, contract: PriceBook):
        """A provider that no list has is a row away."""
        rates = price(contract, "vllm", "own-llama").rates_for(0)

        assert rates is not None
        assert (rates.input, rates.cache_read, rates.output) == (20_000_000, 0, 80_000_000)
        assert contract.find("vllm", "other", NOW) is None

    def test_toml_says_the_same(self, tmp_path: Path, contract: PriceBook):
        """Either form gives the same prices."""
        text = """
[[prices]]
provider = "openai"
multiplier = "0.85"

[[prices]]
provider = "anthropic"
model = "claude-haiku-*"
from = 2026-12-01
multiplier = "0.90"
"""
        found = book(tmp_path, text, "contract.toml")
        for provider, model, at in (("openai", "gpt-4.1", NOW), ("anthropic", "claude-haiku-4-5", NOW + 30 * DAY)):
            assert price(found, provider, model, at).standard == price(contract, provider, model, at).standard

    def test_the_snapshot_names_the_file(self, contract: PriceBook):
        """Every record of its version can be told apart from the list's."""
        assert "contract.yaml" in contract.source
        assert contract.version != LIST.version


def row(text: str) -> str:
    return "prices:\n  - provider: openai\n    model: gpt-5\n    " + text.replace("\n", "\n    ") + "\n"


SLIPS = [
    ("", 1, "prices", "a list `prices` of rows is expected"),
    ("price:\n  - {}\n", 1, "price", "it is no field"),
    ("prices: 5\n", 1, "prices", "a list of rows is expected"),
    ("prices:\n  - openai\n", 2, "prices", "a row of fields is expected"),
    ("prices:\n  - provider: openai\n   multiplier: 1\n", 3, "file", "it is no YAML"),
    (row('mulitplier: "0.85"'), 4, "mulitplier", "it is no field: use one of provider, model"),
    (row("multiplier: 0.85"), 4, "multiplier", "0.85 is a number: write it as a quoted decimal string"),
    (row('multiplier: "-1"'), 4, "multiplier", "'-1' is no amount"),
    (row('multiplier: "85%"'), 4, "multiplier", "'85%' is no amount"),
    (row('tier: flex\nrates: {inptu: "1"}'), 5, "rates.inptu", "it is no class: use one of input"),
    (row('rates:\n  input: "1"\n  output: 4'), 6, "rates.output", "4 is a number"),
    (row("rates: 5"), 4, "rates", "amounts by class are expected"),
    (row('rates: {input: "1"}\nmultiplier: "2"'), 4, "rates", "a multiplier or rates, not both"),
    (row('multiplier: "1"\nmultiplier: "2"'), 5, "multiplier", "it is stated twice"),
    (row('from: soon\nmultiplier: "1"'), 4, "from", "'soon' is no day"),
    (row("tier: flex"), 2, "multiplier", "the row changes nothing"),
    (row('tier: 5\nmultiplier: "1"'), 4, "tier", "5 is no text"),
    ('prices:\n  - model: gpt-5\n    multiplier: "1"\n', 2, "provider", "it is missing"),
    (
        "prices:\n  - provider: azure\n    model: gpt-*\n    deployment: chat\n",
        3,
        "model",
        "a deployment serves one model",
    ),
    (row('model: x\nmultiplier: "1"'), 4, "model", "it is stated twice"),
]


class TestSlips:
    @pytest.mark.parametrize(("text", "line", "field", "says"), SLIPS)
    def test_a_slip_is_told_by_line_and_field(self, text, line, field, says, tmp_path: Path):
        """One message: where, what, and the way out."""
        path = tmp_path / "prices.yaml"
        path.write_text(text)
        with pytest.raises(ValueError, match="prices") as error:
            load_overlay(path)

        assert str(error.value).startswith(f"{path}:{line}: {field}: ")
        assert says in str(error.value)

    @pytest.mark.parametrize(
        ("text", "line", "field", "says"),
        [
            ('[[prices]]\nprovider = "openai"\nmulitplier = "1"\n', 3, "mulitplier", "it is no field"),
            ('[[prices]]\nprovider = "openai"\nmultiplier = 0.85\n', 3, "multiplier", "0.85 is a number"),
            ('[[prices]]\nprovider = "openai"\n[prices.rates]\ninptu = "1"\n', 4, "rates.inptu", "it is no class"),
            ('[[prices]]\nprovider = "openai\n', 2, "file", "it is no TOML"),
            ('[[price]]\nprovider = "openai"\n', 1, "price", "it is no field"),
        ],
    )
    def test_slips_in_toml(self, text, line, field, says, tmp_path: Path):
        """The same, in the other form."""
        path = tmp_path / "prices.toml"
        path.write_text(text)
        with pytest.raises(ValueError, match="prices") as error:
            load_overlay(path)

        assert str(error.value).startswith(f"{path}:{line}: {field}: ")
        assert says in str(error.value)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (
                'prices:\n  - provider: openai\n    model: gtp-5\n    multiplier: "1"\n',
                "2: model: 'gtp-5' fits no model",
            ),
            ('prices:\n  - provider: opneai\n    multiplier: "1"\n', "2: model: '*' fits no model of opneai"),
            (row('tier: ultrafast\nmultiplier: "1"'), "2: tier: 'gpt-5' has no price in tier 'ultrafast' to multiply"),
        ],
    )
    def test_a_row_that_fits_nothing_is_a_slip(self, text, says, tmp_path: Path):
        """A pattern that no model matches would be a discount that never comes."""
        with pytest.raises(ValueError, match=r"fits no model|no price in tier") as error:
            book(tmp_path, text)

        assert says in str(error.value)


class TestCommand:
    def test_contract_and_list_are_both_shown(self, tmp_path: Path, capsys: Any):
        """What would be charged, the list's price, and the row that says so."""
        path = tmp_path / "contract.yaml"
        path.write_text(CONTRACT)
        parser = argparse.ArgumentParser()
        command.add_parser(parser.add_subparsers())
        args = parser.parse_args(["prices", "gpt-4.1", "--provider", "openai", "--overlay", str(path)])

        assert int(args.run(args)) == 0
        shown = capsys.readouterr().out
        for text in ("1.70", "list price input $2.00", "contract.yaml:2"):
            assert text in shown

    def test_a_slip_is_exit_code_two(self, tmp_path: Path, capsys: Any):
        """With the line of the file."""
        path = tmp_path / "contract.yaml"
        path.write_text(row("mutliplier: '1'"))
        parser = argparse.ArgumentParser()
        command.add_parser(parser.add_subparsers())
        args = parser.parse_args(["prices", "--overlay", str(path)])

        assert int(args.run(args)) == 2
        assert f"wfb prices: {path}:4: mutliplier: it is no field" in capsys.readouterr().err
