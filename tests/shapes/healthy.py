"""Runs that do their work and end: what a guard against loops must leave alone."""

import json
import random
from collections.abc import Callable

from shapes.turn import Conversation, Run, Turn, Words, stamp


def _times(rng: random.Random, median: float, spread: float = 0.5) -> int:
    """A number of turns: log-normal, so that some runs are several times the usual one."""
    return max(2, round(median * rng.lognormvariate(0, spread)))


def _search(rng: random.Random, words: Words) -> tuple[str, str]:
    """A search's arguments and its results, in the JSON that tools speak."""
    found = [
        {"title": words.text(6), "url": f"https://{words.text(1)}.example/{n}", "text": words.about(90)} for n in (1, 2)
    ]
    return json.dumps({"query": words.text(5)}), json.dumps({"results": found, "at": stamp(rng)})


def long_research(rng: random.Random) -> Run:
    """An agent reads and reads: the context grows with every result, now and then a tool fails."""
    words = Words(rng)
    talk = Conversation(rng, words)
    talk.user(words.about(60))
    for _ in range(_times(rng, 24)):
        yield Turn(talk.body(), rng.randint(40, 200), pause=rng.uniform(2, 9))
        if rng.random() < 0.07:
            talk.tool("fetch", json.dumps({"url": words.text(3)}), f"Error: timed out {stamp(rng)}")
        else:
            talk.tool("search", *_search(rng, words), said=words.about(25))
    yield Turn(talk.body(), 900)


def map_reduce(rng: random.Random) -> Run:
    """A document in parts over eight pods at once, with the same instructions for each, and a summary of summaries."""
    words = Words(rng)
    instructions = words.text(250)
    parts = _times(rng, 40, 0.6)
    for n in range(parts):
        body = {
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": words.text(40)},
                {"role": "user", "content": f"{instructions}\n\nPart {n + 1}:\n{words.about(350)}"},
            ],
        }
        yield Turn(body, rng.randint(100, 250), pod=f"map-{n % 8}", pause=rng.uniform(0, 0.4))
    yield Turn(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": words.text(parts * 120)}]},
        800,
        pod="reduce",
        pause=10,
    )


def chat(rng: random.Random) -> Run:
    """An hour of a chat server's pod: many people's conversations interleaved, short thanks among them."""
    words = Words(rng)
    system = words.text(200)
    talks: list[Conversation] = []
    for _ in range(_times(rng, 60, 0.6)):
        if not talks or rng.random() < 0.3:
            talk = Conversation(rng, words, 0)
            talk.messages = [{"role": "system", "content": system}]
            talks.append(talk)
        talk = rng.choice(talks[-6:])
        talk.user(rng.choice(["thanks!", "ok, go on", "yes please"]) if rng.random() < 0.2 else words.about(20))
        yield Turn(talk.body(), rng.randint(60, 250), pause=rng.uniform(5, 50))
        talk.assistant(words.about(90))


def classify(rng: random.Random) -> Run:
    """A batch of calls that all look alike: long instructions in each, and one short ticket to sort."""
    words = Words(rng)
    instructions = words.text(400)
    for n in range(_times(rng, 150, 0.7)):
        text = f"{instructions}\nAnswer with one label.\n\nTicket {n}: {words.about(12)}"
        yield Turn({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}, 4, pause=rng.uniform(0.2, 1))


def outage(rng: random.Random) -> Run:
    """Research through a provider's outage: the same request again and again for a while, and on from there."""
    turns = list(long_research(rng))
    down = rng.randrange(len(turns))
    for n, turn in enumerate(turns):
        if n == down:
            for attempt in range(rng.randint(20, 60)):
                retry = {"x-stainless-retry-count": str(attempt % 3)} if attempt % 3 else {}
                yield Turn(turn.body, 0, pause=rng.uniform(1, 20), headers=retry, fails=True)
        yield turn


def debugging(rng: random.Random) -> Run:
    """A coding agent runs its tests until they pass: most results are failures, each another one."""
    words = Words(rng)
    talk = Conversation(rng, words, 600)
    talk.user(words.about(120))
    for _ in range(_times(rng, 20)):
        yield Turn(talk.body(), rng.randint(150, 500), pause=rng.uniform(5, 30))
        if rng.random() < 0.5:
            failed = f"FAILED tests/test_{words.text(1)}.py::test_{words.text(1)} AssertionError: {words.about(60)}"
            talk.tool(
                "run_tests", json.dumps({"path": words.text(1)}), f"{failed}\n1 failed in 0.{rng.randint(10, 99)}s"
            )
        else:
            talk.tool("edit", json.dumps({"path": words.text(1), "new": words.about(80)}), "done")
    yield Turn(talk.body(), 300)


def polling(rng: random.Random) -> Run:
    """Work, then waiting for a job: the same question and the same answer a dozen times, and on with the result."""
    words = Words(rng)
    talk = Conversation(rng, words)
    talk.user(words.about(60))
    polls_from = _times(rng, 12)
    for _ in range(polls_from):
        yield Turn(talk.body(), rng.randint(40, 200))
        talk.tool("search", *_search(rng, words), said=words.about(25))
    for _ in range(rng.randint(6, 14)):
        yield Turn(talk.body(), 30, pause=30)
        talk.tool("job_status", json.dumps({"job": "export"}), json.dumps({"state": "running", "at": stamp(rng)}))
    for _ in range(_times(rng, 4)):
        yield Turn(talk.body(), rng.randint(40, 200))
        talk.tool("search", *_search(rng, words), said=words.about(25))


HEALTHY: dict[str, Callable[[random.Random], Run]] = {
    "long research": long_research,
    "map-reduce": map_reduce,
    "chat": chat,
    "batch of alike calls": classify,
    "provider outage": outage,
    "debugging": debugging,
    "polling": polling,
}
"""Every healthy shape by its name."""
