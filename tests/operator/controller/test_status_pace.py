"""When a status is written: at most every two seconds a budget, a bounded number in all, and what matters first."""

import threading

from wfb_operator.controller.api_server import ApiServer
from wfb_operator.controller.metrics import Metrics
from wfb_operator.controller.pace import BUDGET_SECONDS, BURST, WRITES_PER_SECOND, Pace
from wfb_operator.controller.status_writer import ROUND_SECONDS, WRITERS, StatusWriter


def status(spent, stage="Open"):
    return {"spentUSD": spent, "stage": stage, "conditions": []}


def write(pace, statuses, now):
    """One round in which every write succeeds; returns what was written."""
    due = pace.due(statuses, now)
    for key in due:
        pace.wrote(key, statuses[key], now)
    return due


def test_one_budget_is_written_at_most_every_two_seconds():
    """Ten rounds in each of which a cent is spent make one write for every two seconds."""
    pace, written = Pace(), 0
    for n in range(100):
        written += len(write(pace, {"b": status(n)}, n / 10))
    assert written == 10 / BUDGET_SECONDS


def test_nothing_is_written_where_nothing_changed():
    """The same status is written once."""
    pace = Pace()
    assert [write(pace, {"b": status(1)}, now) for now in (0.0, 5.0, 500.0)] == [["b"], [], []]


def test_a_write_that_failed_is_due_again():
    """Only a write that succeeded is remembered."""
    pace = Pace()
    assert pace.due({"b": status(1)}, 0.0) == pace.due({"b": status(1)}, 1.0) == ["b"]


def test_a_thousand_busy_budgets_are_bounded_and_none_starves():
    """Over a minute the writes stay within the rate, and every budget is written again and again."""
    pace, counts = Pace(), dict.fromkeys(map(str, range(1000)), 0)
    for second in range(60):
        for key in write(pace, {key: status(second) for key in counts}, float(second)):
            counts[key] += 1
    assert sum(counts.values()) <= BURST + 60 * WRITES_PER_SECOND
    assert min(counts.values()) >= 2


def test_a_new_stage_overtakes_cents():
    """Where not all can be written, a budget that reached another stage goes first."""
    pace = Pace()
    statuses = {str(n): status(0) for n in range(100)}
    write(pace, statuses, 0.0)
    changed = {key: status(1) for key in statuses} | {"99": status(1, "Slow")}
    assert write(pace, changed, 2.0)[0] == "99"


def test_a_budget_that_went_is_forgotten():
    """One made anew under the same name is written at once."""
    pace = Pace()
    write(pace, {"b": status(1)}, 0.0)
    pace.forget(set())
    assert write(pace, {"b": status(1)}, 0.5) == ["b"]


class SlowCluster:
    """Takes a status in an eighth of a round's time, of which the clock alone knows."""

    def __init__(self):
        self.now, self.written, self._lock = 0.0, [], threading.Lock()

    def apply_status(self, document, _status):
        """Each writer's turn passes once all of them had theirs."""
        with self._lock:
            self.written.append(document["metadata"]["name"])
            self.now += ROUND_SECONDS / 8 / WRITERS


async def test_a_new_stage_does_not_wait_for_a_round_of_cents():
    """A round ends in its time though a hundred budgets wait; what turned meanwhile is the first of the next round."""
    cluster, names = SlowCluster(), [f"b{n:02}" for n in range(100)]
    metrics = Metrics(0.0)
    writer = StatusWriter(cluster, ApiServer(metrics), metrics, wall=lambda: cluster.now, monotonic=lambda: cluster.now)
    documents = {name: {"metadata": {"name": name}} for name in names}

    async def write(statuses):
        cluster.written = []
        await writer.write({name: (documents[name], statuses[name]) for name in names}, cluster.now)
        return cluster.written

    cents = {name: status(1) for name in names}
    assert 8 * WRITERS <= len(await write(cents)) <= 9 * WRITERS
    cluster.now += BUDGET_SECONDS
    turned = {"b00": status(500, "Slow"), "b01": status(500, "Slow")}
    assert turned.keys() <= set((await write(cents | turned))[: len(names) - 8 * WRITERS + 2])
