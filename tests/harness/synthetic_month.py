"""A synthetic month of many workflows, as minute rows: always the same for the same seed.

Every workflow belongs to one team and namespace, has a rhythm (by day, at night, all the time, or in runs that begin at a
few times a day), one or two models, its own size of call, and a trend. Some calls fail, some are refused, some are
estimated; a contract makes half the teams pay less than the list. Prices are whole nano-USD a token, so that every
amount can be added up by anybody.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

MODELS = {
    ("openai", "gpt-5", "gpt-5-2025-08-07"): (1250, 10_000),
    ("openai", "gpt-5-mini", "gpt-5-mini-2025-08-07"): (250, 2_000),
    ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"): (3_000, 15_000),
    ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001"): (1_000, 5_000),
    ("google", "gemini-2.5-flash", "gemini-2.5-flash"): (300, 2_500),
}
"""(provider, model, model served) → nano-USD for a token read, and for one written."""

TEAMS = ("payments", "search", "support", "risk", "growth", "logistics", "catalogue", "legal", "research", "platform")
FEATURES = ("triage", "summaries", "drafts", "extraction", "answers", "review")
PRICES = "2f7c0de5"
RHYTHMS = ("office", "night", "always", "runs")


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow's habits."""

    name: str
    namespace: str
    team: str
    feature: str
    rhythm: str
    models: tuple[tuple[str, str, str], ...]
    tokens_in: int
    tokens_out: int
    weight: float
    trend: float
    discount: int


def workflows(count: int, teams: int, seed: int = 7) -> list[Workflow]:
    """So many workflows of so many teams; the weights are steep, as they are everywhere."""
    chance = random.Random(seed)
    found = []
    for n in range(count):
        team_n = (
            min(int(chance.paretovariate(0.9)) - 1, teams - 1) if chance.random() < 0.5 else chance.randrange(teams)
        )
        team = TEAMS[team_n] if team_n < len(TEAMS) else f"team-{team_n:02}"
        feature = chance.choice(FEATURES)
        found.append(
            Workflow(
                f"{feature}-{n:04}",
                f"ns-{team}",
                team if n % 97 else "",
                feature,
                chance.choices(RHYTHMS, (5, 1, 2, 2))[0],
                tuple(chance.sample(sorted(MODELS), chance.choice((1, 1, 2)))),
                chance.randrange(300, 6_000),
                chance.randrange(50, 900),
                chance.paretovariate(1.4),
                chance.uniform(-0.3, 0.5),
                chance.choice((0, 12)),
            )
        )
    return found


def hour_rows(flows: list[Workflow], hour: int, calls: float, rows: float, seed: int = 7) -> Iterator[tuple]:
    """The minute rows of one hour (Unix hours), as (key, counts) of the store.

    ``calls`` and ``rows`` are what a mean workflow makes in a mean hour.
    """
    chance = random.Random(seed * 1_000_003 + hour)
    weekday, clock = (hour // 24 + 3) % 7, hour % 24
    for at, flow in enumerate(flows):
        active = _activity(flow, weekday, clock, at)
        wanted = rows * active
        many = int(wanted) + (chance.random() < wanted % 1)
        if not many:
            continue
        trend = 1 + flow.trend * ((hour // 24) % 30) / 30
        per_row = max(1.0, calls / rows * min(flow.weight, 30) * trend * 0.36)
        run = f"{at:04x}{hour:08x}-0000-4000-8000-{at:012x}" if flow.rhythm == "runs" else ""
        for minute in chance.sample(range(60), min(many, 60)):
            model = flow.models[chance.random() < 0.3 and len(flow.models) > 1]
            yield from _row(chance, flow, hour * 60 + minute, run, model, per_row)


def _activity(flow: Workflow, weekday: int, clock: int, at: int) -> float:
    """How busy a workflow is in an hour, about one in the mean."""
    if flow.rhythm == "office":
        return (2.6 if 8 <= clock < 18 else 0.35) if weekday < 5 else 0.15
    if flow.rhythm == "night":
        return 4.0 if 1 <= clock < 6 else 0.2
    if flow.rhythm == "runs":
        return 6.0 if clock % 8 == at % 8 else 0.0
    return 1.0


def _row(chance: random.Random, flow: Workflow, minute: int, run: str, model: tuple[str, str, str], size: float):
    calls = max(1, round(chance.expovariate(1 / size)))
    odd = chance.random()
    outcome, estimated = ("error", 0) if odd < 0.02 else ("disconnected", 1) if odd < 0.035 else ("ok", 0)
    if odd > 0.985:
        outcome = "refused"
    key = (minute, flow.namespace, flow.team, flow.feature, flow.name, run, "", *model, outcome, estimated, PRICES)
    if outcome in ("refused", "error"):
        yield key, [calls, calls if outcome == "refused" else 0, 0, 0, 0, 0, 0, 0, 0]
        return
    read, wrote = (round(calls * n * chance.uniform(0.6, 1.4)) for n in (flow.tokens_in, flow.tokens_out))
    cached = read // 3
    rate_in, rate_out = MODELS[model]
    listed = (read - cached) * rate_in + cached * rate_in // 10 + wrote * rate_out
    charged = listed * (100 - flow.discount) // 100
    yield key, [calls, 0, read - cached, cached, 0, wrote, wrote // 4, charged, listed]
