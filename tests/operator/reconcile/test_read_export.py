"""Exports as providers give them, read to one form; and files that are something else, refused in one sentence."""

import datetime
import json
from decimal import Decimal

import pytest

from wfb_operator.reconcile.charge import ExportError, model_key
from wfb_operator.reconcile.read import read_export

DAY = datetime.date(2026, 11, 1)
SECONDS = 1_793_491_200
"""2026-11-01 00:00 UTC."""


def lines(*rows):
    return "\n".join(rows).encode()


OPENAI_COSTS = lines(
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,organization_id",
    f'{SECONDS},{SECONDS + 86400},2026-11-01T00:00:00+00:00,x,0.8958740000000000,usd,"gpt-5-2025-08-07, input",p,o',
    f'{SECONDS},{SECONDS + 86400},2026-11-01T00:00:00+00:00,x,0.10,usd,"gpt-5-2025-08-07, cached input",p,o',
    f"{SECONDS},{SECONDS + 86400},2026-11-01T00:00:00+00:00,x,0.03,usd,web search tool calls,p,o",
    f"{SECONDS + 86400},{SECONDS + 172800},2026-11-02T00:00:00+00:00,x,,,,,",
)
OPENAI_API = json.dumps(
    {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": SECONDS,
                "end_time": SECONDS + 86400,
                "results": [
                    {
                        "amount": {"value": 0.06, "currency": "usd"},
                        "line_item": "gpt-5-2025-08-07, output",
                        "project_id": None,
                    }
                ],
            }
        ],
        "has_more": False,
        "next_page": None,
    }
).encode()
OPENAI_USAGE = lines(
    "start_time,end_time,project_id,num_model_requests,model,batch,input_tokens,output_tokens,input_cached_tokens",
    f"{SECONDS},{SECONDS + 86400},p,7,gpt-5-2025-08-07,true,100,20,30",
)
ANTHROPIC_CONSOLE = lines(
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type",
    "2026-11-01,Claude Haiku 4.5,Default,key,message,≤ 200k,input_no_cache,0.05,0.05,token",
    "2026-11-01,Claude Haiku 4.5,Default,key,batch,≤ 200k,output,0.02,0.02,token",
)
ANTHROPIC_API = json.dumps(
    {
        "data": [
            {
                "starting_at": "2026-11-01T00:00:00Z",
                "ending_at": "2026-11-02T00:00:00Z",
                "results": [
                    {
                        "currency": "USD",
                        "amount": "123.45",
                        "model": "claude-haiku-4-5-20251001",
                        "cost_type": "tokens",
                    },
                    {"currency": "USD", "amount": "1", "model": None, "cost_type": "web_search"},
                ],
            }
        ],
        "has_more": False,
    }
).encode()
ANTHROPIC_USAGE = json.dumps(
    {
        "data": [
            {
                "starting_at": "2026-11-01T00:00:00Z",
                "results": [
                    {
                        "uncached_input_tokens": 5,
                        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 1},
                        "cache_read_input_tokens": 7,
                        "output_tokens": 9,
                        "model": "claude-haiku-4-5-20251001",
                        "service_tier": "batch",
                    }
                ],
            }
        ]
    }
).encode()
CUR = lines(
    "lineItem/LineItemType,lineItem/UsageStartDate,lineItem/ProductCode,lineItem/UsageType,lineItem/UsageAmount,"
    "lineItem/CurrencyCode,lineItem/UnblendedCost",
    "Usage,2026-11-01T03:00:00Z,AmazonBedrock,USE1-Claude4.5Sonnet-input-tokens,1000,USD,0.003",
    "Usage,2026-11-01T03:00:00Z,AmazonEC2,BoxUsage:t3.micro,1,USD,0.01",
    "Credit,2026-11-01T03:00:00Z,AmazonBedrock,USE1-Claude4.5Sonnet-output-tokens-batch,1,USD,-0.001",
)
GOOGLE = lines(
    "service.description,sku.description,usage_start_time,cost,currency",
    "Vertex AI,Gemini 2.5 Flash Text Input - Predictions,2026-11-01 05:00:00 UTC,0.5,USD",
    "Cloud Storage,Standard,2026-11-01 05:00:00 UTC,9,USD",
)
OPENROUTER = lines(
    "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,model_permaslug",
    "gen-1,2026-11-01 23:59:59.1,0.0015,10,25,5,4,openai/gpt-5-2025-08-07",
)

READ = {
    "openai costs": ("openai", OPENAI_COSTS, [("gpt-5-2025-08-07", "0.895874"), ("gpt-5-2025-08-07", "0.10"), ("web search tool calls", "0.03")], {}),
    "openai costs, API": ("openai", OPENAI_API, [("gpt-5-2025-08-07", "0.06")], {}),
    "openai usage": ("openai", OPENAI_USAGE, [("gpt-5-2025-08-07", None)], {"input": 70, "cache_read": 30, "output": 20}),
    "anthropic costs": ("anthropic", ANTHROPIC_CONSOLE, [("Claude Haiku 4.5", "0.05"), ("Claude Haiku 4.5", "0.02")], {}),
    "anthropic costs, API": ("anthropic", ANTHROPIC_API, [("claude-haiku-4-5-20251001", "1.2345"), ("", "0.01")], {}),
    "anthropic usage, API": ("anthropic", ANTHROPIC_USAGE, [("claude-haiku-4-5-20251001", None)], {"input": 5, "cache_read": 7, "cache_write": 3, "output": 9}),
    "aws": ("aws", CUR, [("Claude4.5Sonnet", "0.003"), ("Claude4.5Sonnet", "-0.001")], {}),
    "google": ("google", GOOGLE, [("Gemini 2.5 Flash Text Input - Predictions", "0.5")], {}),
    "openrouter": ("openrouter", OPENROUTER, [("openai/gpt-5-2025-08-07", "0.0015")], {"input": 6, "cache_read": 4, "output": 25}),
}  # fmt: skip


@pytest.mark.parametrize(("provider", "content", "expected", "tokens"), READ.values(), ids=READ)
def test_an_export_is_read(provider, content, expected, tokens):
    """Day, model, dollars and tokens of each line; lines about nothing, or about something else, are left out."""
    found = read_export("export", content, provider)
    assert [(c.model, c.usd) for c in found.charges] == [
        (m, None if usd is None else Decimal(usd)) for m, usd in expected
    ]
    assert {c.day for c in found.charges} == {DAY}
    if tokens:
        assert {kind: n for kind, n in found.charges[0].tokens.items() if n} == tokens


MARKS = {
    "batch of openai": ("openai", OPENAI_USAGE, "batch", [True]),
    "batch of anthropic": ("anthropic", ANTHROPIC_CONSOLE, "batch", [False, True]),
    "not for tokens": ("openai", OPENAI_COSTS, "other", [False, False, True]),
    "not for tokens, anthropic": ("anthropic", ANTHROPIC_API, "other", [False, True]),
    "a credit": ("aws", CUR, "credit", [False, True]),
}


@pytest.mark.parametrize(("provider", "content", "mark", "expected"), MARKS.values(), ids=MARKS)
def test_what_a_line_is(provider, content, mark, expected):
    """Batch, other charges and credits are told, since they are reasons of drift."""
    assert [getattr(c, mark) for c in read_export("export", content, provider).charges] == expected


BAD = {
    "other columns": (b"a,b\n1,2\n", "openai", ["has the columns a, b", "expected", "amount_value", "num_model_requests"]),
    "another provider's": (ANTHROPIC_CONSOLE, "openai", ["it looks like one of anthropic: --provider anthropic"]),
    "another currency": (OPENAI_COSTS.replace(b"usd", b"eur"), "openai", ["line 2", "amount_currency is 'EUR'", "in USD"]),
    "an amount that is none": (OPENAI_COSTS.replace(b"0.10", b"$0.10"), "openai", ["line 3", "amount_value is '$0.10'"]),
    "an amount that is infinite": (OPENAI_COSTS.replace(b"0.10", b"inf"), "openai", ["line 3", "not a number"]),
    "a date that is none": (ANTHROPIC_CONSOLE.replace(b"2026-11-01", b"01.11.2026"), "anthropic", ["usage_date_utc", "2026-11-23"]),
    "no rows": (OPENAI_COSTS.splitlines()[0], "openai", ["holds no rows"]),
    "nothing": (b"", "openai", ["holds no rows"]),
    "no rows about models": (b"\n".join(CUR.splitlines()[i] for i in (0, 2)), "aws", ["no row about models of aws", "1 others"]),
    "not text": (b"PK\x03\x04\xff\xfe", "openai", ["not text in UTF-8", "CSV or JSON"]),
    "cut JSON": (OPENAI_API[:-9], "openai", ["begins like JSON and is none"]),
    "one page of more": (b'{"data": [], "has_more": true}', "openai", ["one page of more"]),
    "a cut line": (OPENAI_COSTS[: OPENAI_COSTS.rindex(b",,")], "openai", ["line 5", "cells under"]),
    "an odd currency": (OPENAI_COSTS.replace(b"usd", b"\x1b[31m"), "openai", ["\ufffd[31M"]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "provider", "words"), BAD.values(), ids=BAD)
def test_an_export_that_is_something_else(content, provider, words):
    """One sentence that says what was found and what was expected, with nothing that moves a terminal's cursor."""
    with pytest.raises(ExportError) as refused:
        read_export("export.csv", content, provider)
    message = str(refused.value)
    assert message.startswith("export.csv")
    assert message.isprintable()
    for word in words:
        assert word in message


ALIKE = [
    (
        "claude-sonnet-4-5-20250929",
        "Claude Sonnet 4.5",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "Claude4.5Sonnet",
    ),
    ("gpt-5-mini-2025-08-07", "gpt-5-mini", "openai/gpt-5-mini"),
    ("gemini-2.5-flash", "Gemini 2.5 Flash Text Input - Predictions", "models/gemini-2.5-flash"),
    ("gpt-4o-2024-08-06", "gpt-4o"),
]


@pytest.mark.parametrize("names", ALIKE, ids=lambda names: names[0])
def test_names_of_one_model(names):
    """What an API, a console and a bill call one model is one key."""
    assert len({model_key(name) for name in names}) == 1


def test_names_of_several_models():
    """Sizes and versions stay apart."""
    names = (
        "gpt-5",
        "gpt-5-mini",
        "gpt-4o",
        "gpt-4",
        "claude-haiku-4-5",
        "claude-sonnet-4-5",
        "claude-sonnet-4",
        "gemini-2.5-pro",
    )
    assert len({model_key(name) for name in names}) == len(names)
