"""Runs that never end by themselves; each begins as the healthy shape whose workflow it belongs to."""

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from shapes.healthy import long_research
from shapes.turn import Conversation, Run, Turn, Words, stamp


def _begun(rng: random.Random, words: Words) -> Conversation:
    """A conversation some healthy turns old; its requests are not made anew."""
    talk = Conversation(rng, words)
    talk.user(words.about(60))
    for _ in range(rng.randint(1, 6)):
        talk.tool("search", json.dumps({"query": words.text(5)}), words.about(120), said=words.about(25))
    return talk


def tool_error(rng: random.Random) -> Run:
    """A tool answers with the same error, and the agent tries again, with other words around it."""
    words = Words(rng)
    talk = _begun(rng, words)
    excuse = words.text(14)
    while True:
        yield Turn(talk.body(), rng.randint(40, 120), pause=rng.uniform(2, 6))
        error = f"Error 422: field 'due_date' is invalid, expected ISO 8601 ({stamp(rng)})"
        arguments = json.dumps({"invoice": "A-17", "due_date": f"{rng.randint(1, 28)}/11"})
        talk.tool("update_invoice", arguments, error, said=words.reworded(excuse, 0.3))


def ping_pong(rng: random.Random) -> Run:
    """Two agents in two pods hand the same question back and forth, politely reworded each time."""
    words = Words(rng)
    talks = {pod: Conversation(rng, words) for pod in ("writer", "reviewer")}
    said = {"writer": words.text(45), "reviewer": words.text(45)}
    for pod in itertools.cycle(talks):
        other = "reviewer" if pod == "writer" else "writer"
        talks[pod].user(words.reworded(said[other], 0.12))
        yield Turn(talks[pod].body(), rng.randint(50, 90), pod=pod, pause=rng.uniform(2, 5))
        talks[pod].assistant(words.reworded(said[pod], 0.12))


def retry_storm(rng: random.Random) -> Run:
    """A program does not like the answers and asks the very same again, its SDK repeating attempts that time out."""
    words = Words(rng)
    talk = _begun(rng, words)
    for n in itertools.count():
        retry = {"x-stainless-retry-count": str(n % 3)} if n % 3 else {}
        yield Turn(talk.body(), rng.randint(200, 400), pause=rng.uniform(0.5, 3), headers=retry)


def snowball(rng: random.Random) -> Run:
    """Every result is new and nothing fails: the context only grows, and each call costs more than the one before."""
    words = Words(rng)
    talk = _begun(rng, words)
    while True:
        yield Turn(talk.body(), rng.randint(40, 200), pause=rng.uniform(3, 9))
        talk.tool("read_page", json.dumps({"url": words.text(4)}), words.about(450), said=words.about(20))


def three_stations(rng: random.Random) -> Run:
    """Plan, look, check, and the same from the start: no turn is like the one before, but like the one three before."""
    words = Words(rng)
    talk = _begun(rng, words)
    stations = [(name, words.text(30), words.text(60)) for name in ("plan", "look", "check")]
    for name, said, result in itertools.cycle(stations):
        yield Turn(talk.body(), rng.randint(40, 150), pause=rng.uniform(2, 6))
        talk.tool(
            name, json.dumps({"n": rng.randint(1, 999)}), words.reworded(result, 0.1), said=words.reworded(said, 0.1)
        )


def ever_new(rng: random.Random) -> Run:
    """An agent that never finds its answer: turn for turn healthy research, only without an end."""
    while True:
        yield from long_research(rng)


@dataclass(frozen=True)
class Loop:
    """A loop, and the healthy shape whose workflow it goes wrong in."""

    run: Callable[[random.Random], Run]
    workflow: str = "long research"


LOOPING: dict[str, Loop] = {
    "tool error loop": Loop(tool_error),
    "ping-pong of two agents": Loop(ping_pong),
    "retry storm": Loop(retry_storm),
    "context snowball": Loop(snowball),
    "three stations": Loop(three_stations),
    "never done": Loop(ever_new),
}
"""Every loop by its name."""
