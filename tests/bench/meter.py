"""What metering costs: microseconds per answer, per chunk of a stream and per price, by dialect.

Run: python tests/bench/meter.py [--json] [--rounds N]; the figures go to tests/bench/results/meter.json.
"""

import argparse
import base64
import gc
import json
import platform
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from figures import verdict, write
from rich import box
from rich.console import Console
from rich.table import Table

from wfb_core.call import CallFacts
from wfb_core.dialects import DIALECTS
from wfb_core.dialects.aws_event_stream import build
from wfb_core.price import PriceBook
from wfb_core.rates import cost
from wfb_core.usage import Usage
from wfb_operator.prices.compile import compile_snapshot

GOALS = {"unary": 60.0, "chunk": 5.0, "price": 20.0, "load": 50.0}
"""Microseconds, of the load milliseconds."""
BODY_SIZE, CHUNKS = 2048, 200
WORDS = "The quick brown fox jumps over the lazy dog, and the budget holds. "


def text(size):
    """So many characters of plain text."""
    return (WORDS * (size // len(WORDS) + 1))[:size]


def compact(document):
    """A document's JSON without blanks."""
    return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Case:
    """One dialect's answers: a unary one of 2 KB, a stream as opening, one chunk of text, closing."""

    body: bytes = b""
    opening: tuple[bytes, ...] = ()
    chunk: bytes = b""
    closing: tuple[bytes, ...] = ()
    kind: str = "text/event-stream"
    operation: str = ""
    model: str = "asked"


def sse(*events, named=False):
    """Events as server-sent ones, with their type as the event's name where that is the custom."""
    head = (lambda e: f"event: {e['type']}\n".encode()) if named else (lambda e: b"")
    return tuple(head(e) + b"data: " + compact(e) + b"\n\n" for e in events)


def padded(make):
    """A document about a text, the text as long as makes the body 2 KB."""
    return compact(make(text(BODY_SIZE - len(compact(make(""))))))


def numbers():
    """A vector that fills 2 KB."""
    return [round(0.001234567 * i, 9) for i in range(150)]


CHAT_USAGE = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": 0},
}
CHAT_HEAD = {"id": "chatcmpl-1", "created": 1780000000, "model": "gpt-5.6", "service_tier": "default"}


def chat():
    """OpenAI's chat."""

    def chunk(delta, reason=None, **more):
        return {
            **CHAT_HEAD,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
            "usage": None,
            **more,
        }

    return Case(
        padded(
            lambda t: {
                **CHAT_HEAD,
                "object": "chat.completion",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": t}, "finish_reason": "stop"}],
                "usage": CHAT_USAGE,
            }
        ),
        sse(chunk({"role": "assistant", "content": ""})),
        sse(chunk({"content": " budget"}))[0],
        (*sse(chunk({}, "stop"), chunk({}, choices=[], usage=CHAT_USAGE)), b"data: [DONE]\n\n"),
    )


def completions():
    """OpenAI's older completions."""

    def chunk(said, reason=None, **more):
        return {**CHAT_HEAD, "choices": [{"index": 0, "text": said, "finish_reason": reason}], "usage": None, **more}

    return Case(
        padded(lambda t: chunk(t, "stop", usage=CHAT_USAGE)),
        (),
        sse(chunk(" budget"))[0],
        (*sse(chunk("", "stop"), chunk("", choices=[], usage=CHAT_USAGE)), b"data: [DONE]\n\n"),
    )


def responses():
    """OpenAI's Responses."""
    counts = {
        "input_tokens": 1200,
        "input_tokens_details": {"cached_tokens": 1024},
        "output_tokens": 90,
        "output_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 1290,
    }

    def response(said="", status="completed", usage=counts):
        content = [{"type": "output_text", "text": said, "annotations": []}]
        return {
            "id": "resp_1",
            "object": "response",
            "status": status,
            "model": "gpt-5.6",
            "output": [{"id": "msg_1", "type": "message", "role": "assistant", "content": content}],
            "usage": usage,
        }

    delta = {
        "type": "response.output_text.delta",
        "sequence_number": 4,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": " budget",
        "logprobs": [],
        "obfuscation": "x8Kq2",
    }
    return Case(
        padded(response),
        sse({"type": "response.created", "response": response("", "in_progress", None)}, named=True),
        sse(delta, named=True)[0],
        sse({"type": "response.completed", "response": response(text(400))}, named=True),
    )


CLAUDE_USAGE = {
    "input_tokens": 25,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 40,
    "service_tier": "standard",
}


def claude_events():
    """(opening, one delta, closing) of a Claude stream."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "content": []}
    return (
        [
            {"type": "message_start", "message": {**message, "usage": CLAUDE_USAGE}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ],
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " budget"}},
        [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 300}},
            {"type": "message_stop"},
        ],
    )


def claude_body():
    """A whole message."""
    return padded(
        lambda t: {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-5-5",
            "content": [{"type": "text", "text": t}],
            "stop_reason": "end_turn",
            "usage": CLAUDE_USAGE,
        }
    )


def claude():
    """Anthropic's Messages."""
    opening, delta, closing = claude_events()
    return Case(
        claude_body(), sse(*opening, named=True), sse(delta, named=True)[0], sse(*closing, named=True), model="claude"
    )


def gemini(array=False):
    """Gemini, its usage in every chunk; as server-sent events or as a JSON array."""

    def chunk(said, reason=None):
        candidate = {"content": {"parts": [{"text": said}], "role": "model"}, "index": 0}
        return {
            "candidates": [candidate | ({"finishReason": reason} if reason else {})],
            "usageMetadata": {
                "promptTokenCount": 900,
                "candidatesTokenCount": 30,
                "thoughtsTokenCount": 12,
                "totalTokenCount": 942,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 900}],
            },
            "modelVersion": "gemini-3.8-flash",
            "responseId": "r-1",
        }

    body = padded(lambda t: chunk(t, "STOP"))
    if not array:
        return Case(body, sse(chunk("A")), sse(chunk(" budget"))[0], sse(chunk("", "STOP")), model="gemini-3.8-flash")
    last = chunk("", "STOP")
    lines = [json.dumps(document, indent=2).encode() for document in (chunk("A"), chunk(" budget"), last)]
    return Case(
        b"",
        (b"[" + lines[0],),
        b"\n,\r\n" + lines[1],
        (b"\n,\r\n" + lines[2], b"\n]"),
        "application/json",
        model="gemini",
    )


EVENT_STREAM = "application/vnd.amazon.eventstream"


def aws(name, document):
    """An AWS message with an event of this name."""
    return build(
        {":event-type": name, ":content-type": "application/json", ":message-type": "event"}, compact(document)
    )


def converse():
    """Bedrock's Converse."""
    counts = {"inputTokens": 900, "outputTokens": 30, "totalTokens": 930, "cacheReadInputTokens": 0}
    return Case(
        padded(
            lambda t: {
                "output": {"message": {"role": "assistant", "content": [{"text": t}]}},
                "stopReason": "end_turn",
                "usage": counts,
                "metrics": {"latencyMs": 800},
            }
        ),
        (aws("messageStart", {"p": "abcd", "role": "assistant"}),),
        aws("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": " budget"}, "p": "abcdefghijklm"}),
        (
            aws("contentBlockStop", {"contentBlockIndex": 0}),
            aws("messageStop", {"stopReason": "end_turn"}),
            aws("metadata", {"usage": counts, "metrics": {"latencyMs": 800}}),
        ),
        EVENT_STREAM,
        "converse",
        "anthropic.claude-sonnet-5-5-v1:0",
    )


def invoke():
    """Bedrock's own invoke, with a Claude model behind it."""
    opening, delta, closing = claude_events()

    def wrapped(event):
        return aws("chunk", {"bytes": base64.b64encode(compact(event)).decode(), "p": "abcdefgh"})

    metrics = {"inputTokenCount": 25, "outputTokenCount": 300, "invocationLatency": 900, "firstByteLatency": 200}
    closing[-1] = closing[-1] | {"amazon-bedrock-invocationMetrics": metrics}
    return Case(
        claude_body(),
        tuple(map(wrapped, opening)),
        wrapped(delta),
        tuple(map(wrapped, closing)),
        EVENT_STREAM,
        "invoke",
        "anthropic.claude-sonnet-5-5-v1:0",
    )


def cohere():
    """Cohere's chat."""
    counts = {
        "billed_units": {"input_tokens": 40.0, "output_tokens": 30.0},
        "tokens": {"input_tokens": 540.0, "output_tokens": 32.0},
    }
    return Case(
        padded(
            lambda t: {
                "id": "c-1",
                "finish_reason": "COMPLETE",
                "message": {"role": "assistant", "content": [{"type": "text", "text": t}]},
                "usage": counts,
            }
        ),
        sse({"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant"}}}, named=True),
        sse({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": " budget"}}}}, named=True)[
            0
        ],
        sse({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": counts}}, named=True),
    )


def ollama():
    """Ollama's chat."""

    def line(said, **more):
        head = {"model": "gpt-oss:20b", "created_at": "2026-11-20T09:30:01.123456789Z"}
        return compact({**head, "message": {"role": "assistant", "content": said}, "done": bool(more), **more}) + b"\n"

    counts = {"done_reason": "stop", "prompt_eval_count": 926, "eval_count": 82, "total_duration": 4883583458}
    size = BODY_SIZE - len(line("", **counts))
    return Case(
        line(text(size), **counts),
        (line("A"),),
        line(" budget"),
        (line("", **counts),),
        "application/x-ndjson",
        "chat",
    )


def embeddings(document, operation=""):
    """An answer with one vector and its counts."""
    return Case(compact(document), operation=operation)


CASES = {
    "openai-chat": chat,
    "openai-completions": completions,
    "openai-responses": responses,
    "openai-embeddings": lambda: embeddings(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": numbers()}],
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
        "embeddings",
    ),
    "anthropic-messages": claude,
    "gemini-generate": gemini,
    "gemini-generate, as an array": lambda: gemini(array=True),
    "gemini-embeddings": lambda: embeddings(
        {"embeddings": [{"values": numbers()}], "usageMetadata": {"promptTokenCount": 8}}, "embedContent"
    ),
    "bedrock-converse": converse,
    "bedrock-invoke": invoke,
    "cohere-chat": cohere,
    "cohere-embed": lambda: embeddings(
        {"id": "e-1", "embeddings": {"float": [numbers()]}, "meta": {"billed_units": {"input_tokens": 8}}}, "embed"
    ),
    "mistral-ocr": lambda: Case(
        padded(
            lambda t: {
                "pages": [{"index": 0, "markdown": t, "images": [], "dimensions": None}],
                "model": "mistral-ocr-2505",
                "usage_info": {"pages_processed": 1, "doc_size_bytes": 70000},
            }
        ),
        operation="ocr",
    ),
    "openai-audio": lambda: Case(
        padded(
            lambda t: {
                "text": t,
                "usage": {
                    "type": "tokens",
                    "input_tokens": 14,
                    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
                    "output_tokens": 45,
                    "total_tokens": 59,
                },
            }
        ),
        operation="audio.transcriptions",
    ),
    "openai-images": lambda: Case(
        padded(
            lambda t: {
                "created": 1780000000,
                "data": [{"b64_json": base64.b64encode(t.encode()).decode()[: len(t)]}],
                "usage": {
                    "total_tokens": 100,
                    "input_tokens": 50,
                    "output_tokens": 50,
                    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                },
            }
        ),
        operation="images.generations",
    ),
    "ollama": ollama,
}
"""What is measured of each dialect; its name up to a comma is the dialect's."""


def read(dialect, facts, headers, pieces):
    """The Answer of these chunks, as the sidecar reads them."""
    reader = dialect.reader(facts, False, headers)
    feed = reader.feed
    for piece in pieces:
        feed(piece)
    feed(b"")
    return reader.end()


def microseconds(work, rounds):
    """One run's microseconds in the fastest round, each of as many runs as take some ten milliseconds.

    What else the machine does only ever slows a round down.
    """
    work()
    began = time.perf_counter()
    work()
    times = max(1, int(0.01 / max(1e-7, time.perf_counter() - began)))
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(times):
            work()
        spent.append((time.perf_counter() - began) / times * 1e6)
    return min(spent)


def answers(rounds):
    """Rows (name, microseconds per unary answer, per chunk, whether both were read), and dialects without a case."""
    rows = []
    for name, make in CASES.items():
        dialect = DIALECTS.get(name.partition(",")[0])
        if dialect is None:
            continue
        case = make()
        unary = chunk = None
        sure = True
        if case.body:
            facts = CallFacts(dialect.name, dialect.provider, case.operation, case.model, False, None)
            headers = {"content-type": "application/json"}
            sure &= read(dialect, facts, headers, [case.body]).usage is not None
            unary = microseconds(lambda d=dialect, f=facts, h=headers, b=case.body: read(d, f, h, [b]), rounds)
        if case.chunk:
            facts = CallFacts(dialect.name, dialect.provider, case.operation, case.model, True, None)
            headers = {"content-type": case.kind}
            pieces = [*case.opening, *[case.chunk] * CHUNKS, *case.closing]
            sure &= read(dialect, facts, headers, pieces).usage is not None
            whole = microseconds(lambda d=dialect, f=facts, h=headers, p=pieces: read(d, f, h, p), rounds)
            chunk = whole / len(pieces)
        rows.append({"dialect": name, "unary_us": unary, "chunk_us": chunk, "read": sure})
    return rows, sorted(DIALECTS.keys() - {name.partition(",")[0] for name in CASES})


def prices(rounds):
    """(microseconds of a look-up with its cost, milliseconds of loading the snapshot, its bytes)."""
    snapshot = compile_snapshot("2026-11-01T00:00:00Z", None).data
    loads = []
    for _ in range(rounds):
        began = time.perf_counter()
        book = PriceBook.from_snapshot(snapshot)
        loads.append((time.perf_counter() - began) * 1e3)
    asked = [
        ("openai", "gpt-5"),
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("google", "gemini-2.5-flash"),
        ("mistral", "mistral-large-latest"),
    ]
    usage = Usage(input_tokens=2006, cache_read_tokens=1000, output_tokens=300, reasoning_tokens=100)
    now = time.time()

    def price():
        for provider, model in asked:
            found = book.find(provider, model, now)
            if found is not None and (rates := found.rates_for(usage.input_tokens)) is not None:
                cost(usage, rates)

    return microseconds(price, rounds) / len(asked), min(loads), len(snapshot)


def figure(value, goal):
    """A figure as the table shows it, red past its goal."""
    return "-" if value is None else f"[{'green' if value <= goal else 'red'}]{value:.1f}[/]"


def show(figures):
    """Prints the table, the goals and what fell short of them."""
    console = Console()
    table = Table("dialect", box=box.SIMPLE_HEAD, title="µs of metering")
    table.add_column("unary, 2 KB", justify="right")
    table.add_column("stream chunk", justify="right")
    table.add_column("read", justify="right")
    for row in figures["dialects"]:
        marks = "yes" if row["read"] else "[red]no usage[/]"
        table.add_row(
            row["dialect"], figure(row["unary_us"], GOALS["unary"]), figure(row["chunk_us"], GOALS["chunk"]), marks
        )
    console.print(table)
    price, load = figures["price_us"], figures["load_ms"]
    console.print(f"price look-up and cost: {price:.1f} µs {verdict(price, GOALS['price'], most=True)}")
    size = figures["snapshot_bytes"] / 1024
    console.print(f"snapshot of {size:.0f} KB loads in {load:.1f} ms {verdict(load, GOALS['load'], most=True)}")
    if figures["unmeasured"]:
        console.print(f"without a case of their own: {', '.join(figures['unmeasured'])}")
    short = figures["short"]
    goals = f"goals: {GOALS['unary']:g} µs a unary answer, {GOALS['chunk']:g} µs a chunk"
    console.print(f"{goals}; {'[red]short: ' + '; '.join(short) + '[/]' if short else '[green]all met[/]'}")


def shortfalls(figures):
    """A sentence for each figure past its goal."""
    short = [
        f"{row['dialect']} {what} {row[f'{what}_us']:.1f} µs"
        for row in figures["dialects"]
        for what in ("unary", "chunk")
        if row[f"{what}_us"] is not None and row[f"{what}_us"] > GOALS[what]
    ]
    short += [f"{row['dialect']} read no usage" for row in figures["dialects"] if not row["read"]]
    short += [f"price {figures['price_us']:.1f} µs"] * (figures["price_us"] > GOALS["price"])
    short += [f"load {figures['load_ms']:.1f} ms"] * (figures["load_ms"] > GOALS["load"])
    return short


def main():
    """Measures, shows and writes the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    options.add_argument("--rounds", type=int, default=15, help="each figure is the best of so many (default 15)")
    asked = options.parse_args()
    gc.disable()  # a collection would be booked on whichever dialect it falls
    rows, unmeasured = answers(asked.rounds)
    price_us, load_ms, size = prices(asked.rounds)
    figures = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "goals": GOALS,
        "dialects": rows,
        "unmeasured": unmeasured,
        "price_us": price_us,
        "load_ms": load_ms,
        "snapshot_bytes": size,
    }
    figures["short"] = shortfalls(figures)
    path = write("meter", figures)
    if asked.json:
        print(json.dumps(figures, indent=1))
    else:
        show(figures)
        print(f"written to {path}")


if __name__ == "__main__":
    main()
