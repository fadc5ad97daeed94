"""Throws broken answers at every dialect's reader: none may raise, lose a byte, or depend on how the bytes were cut.

Run: python tests/bench/fuzz_readers.py [--count N] [--seconds S] [--seed S] [--dialect NAME]
"""

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from wfb_core.call import CallFacts
from wfb_core.dialects import DIALECTS
from wfb_core.dialects.aws_event_stream import build
from wfb_core.usage import Usage

SAMPLES = Path(__file__).parent.parent / "core/dialects/samples"
KINDS = [
    "",
    "application/json",
    "application/octet-stream",
    "application/vnd.amazon.eventstream",
    "application/x-ndjson",
    "audio/mpeg",
    "text/event-stream",
    "text/plain",
]
WORDS = [
    *(word.encode() for word in ("usage", "model", "id", "error", "choices", "response", "message", "type", "done")),
    *(b'"%b_tokens":' % word for word in (b"prompt", b"completion", b"input", b"output", b"total", b"cached")),
    *(b'"%bTokenCount":' % word for word in (b"prompt", b"candidates", b"thoughts", b"total")),
    *(b'"%b":' % word for word in (b"usage", b"usageMetadata", b"x_groq", b"meta", b"billed_units", b"inputTokens")),
    *(b'-1 0 9 1e9 1.5 true null "7" [] {} 99999999999999999999 NaN'.split()),
    *(b'data: |event: |: |id: |\n|\r|\n\n|\r\n\r\n|{|}|[|]|,|"|\\|[DONE]|\x00\x00\x00|\xff|\xef\xbb\xbf'.split(b"|")),
    b'{"usage":{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":9}}}',
    build({":event-type": "metadata", ":message-type": "event"}, b'{"usage":{"inputTokens":5,"outputTokens":2}}'),
    build({":exception-type": "throttlingException"}, b"{}"),
    b"[" * 2000,
    b'{"usage":' * 2000,
]


def samples(dialect):
    """The bytes of every answer among the dialect's samples; of none, an empty object."""
    paths = [path for path in (SAMPLES / dialect).glob("*") if path.is_file() and not path.name.startswith("request")]
    return [path.read_bytes() for path in sorted(paths)] or [b"{}"]


def broken(rng, whole):
    """A sample with a few wounds, or nonsense of the words that readers look for."""
    if rng.random() < 0.3:
        return b"".join(rng.choice(WORDS) for _ in range(rng.randrange(25)))
    body = bytearray(rng.choice(whole))
    for _ in range(rng.randrange(5)):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(4):
            case 0:
                body[at : at + rng.randrange(40)] = b""
            case 1:
                body[at:at] = rng.choice(WORDS)
            case 2:
                body[at : at + 1] = rng.randbytes(1)
            case _:
                other = rng.choice(whole)
                body[at:] = other[rng.randrange(len(other) + 1) :]
    return bytes(body)


def cut(rng, body):
    """The body in chunks: whole, in a few pieces, or byte by byte where it is short."""
    if rng.random() < 0.1 and len(body) < 3000:
        return [body[i : i + 1] for i in range(len(body))]
    places = sorted(rng.randrange(len(body) + 1) for _ in range(rng.randrange(1, 9)))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True) if a < b]


def read(dialect, chunks, stream, kind):
    """(what was handed on, the Answer)."""
    facts = CallFacts(dialect.name, dialect.provider, "", "asked", stream, None)
    reader = dialect.reader(facts, False, {"content-type": kind} if kind else {})
    out = b"".join([reader.feed(chunk) for chunk in chunks])
    return out + reader.feed(b""), reader.end()


def fault(dialect, body, chunks, stream, kind):
    """What is wrong with how the reader took it; None where nothing is."""
    try:
        out, answer = read(dialect, chunks, stream, kind)
        again = read(dialect, [body] if body else [], stream, kind)[1]
    except Exception as e:
        return f"raised {e!r}"
    if out != body:
        return "bytes were lost or added"
    if answer != again:
        return f"chunks made a difference: {answer} {again}"
    if (answer.finding or "").startswith("reader failed"):
        return answer.finding
    if answer.usage is None and answer.finding is None:
        return "no usage and no finding"
    for _, usage in answer.parts:
        if not isinstance(usage, Usage):
            return "a part is no usage"
    return None


def main():
    """Feeds the inputs, prints the faults and how many there were; fails where there was one."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=20_000, help="inputs (default 20000)")
    options.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    options.add_argument("--seed", type=int, default=1, help="of the random numbers (default 1)")
    options.add_argument("--dialect", choices=sorted(DIALECTS), help="only this one")
    asked = options.parse_args()
    chosen = [DIALECTS[asked.dialect]] if asked.dialect else list(DIALECTS.values())
    whole = {dialect.name: samples(dialect.name) for dialect in chosen}
    rng = random.Random(asked.seed)
    began, faults, done = time.monotonic(), 0, 0
    while done < asked.count and time.monotonic() - began < asked.seconds:
        dialect = chosen[done % len(chosen)]
        body = broken(rng, whole[dialect.name])
        chunks, stream, kind = cut(rng, body), rng.random() < 0.7, rng.choice(KINDS)
        if wrong := fault(dialect, body, chunks, stream, kind):
            faults += 1
            if faults <= 10:
                print(
                    f"{dialect.name} {kind or 'no type'} stream={stream} input {done}: {wrong[:600]}\n  {body[:600]!r}"
                )
        done += 1
    seconds = time.monotonic() - began
    print(f"{done} inputs, {len(chosen)} dialects, seed {asked.seed}: {faults} faults in {seconds:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
