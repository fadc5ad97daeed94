"""What is said while a command runs: edits of files, changes of stage, the live line."""

import io

import pytest

from wfb_core.document import parse_budget
from wfb_operator.cli.budget_file import load
from wfb_operator.cli.live import GONE_AFTER, BudgetFiles, Stages, Voice, changes, live_text, shows_live
from wfb_operator.cli.state import StateError, budgets_together


def _budget(name="triage", limits=(("Day", "5.00"),), **spec):
    return parse_budget(
        {
            "apiVersion": "aifinops.dev/v1alpha1",
            "kind": "WorkflowBudget",
            "metadata": {"name": name, "namespace": "billing"},
            "spec": {
                "selector": {"matchLabels": {"workflow": "triage"}},
                "limits": [{"window": window, "usd": usd} for window, usd in limits],
                **spec,
            },
        }
    )


def _window(stage, percent, window="Day"):
    return {
        "budget": "billing/triage",
        "window": f"billing/triage|{window}|x",
        "kind": window,
        "limit_usd": "5.00",
        "spent_usd": "4.25",
        "percent_used": percent,
        "stage": stage,
    }


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([_budget()], [_budget()], []),
        ([_budget()], [_budget(limits=(("Day", "10.00"),))], ["budget billing/triage: Day limit $5.00 → $10.00"]),
        ([_budget()], [_budget(suspend=True)], ["budget billing/triage: suspended, every call is refused"]),
        ([_budget(suspend=True)], [_budget()], ["budget billing/triage: no longer suspended"]),
        ([_budget()], [_budget(limits=(("Run", "1.00"),))], ["budget billing/triage: Run limit $1.00 added, Day limit removed"]),
        ([_budget()], [_budget(enforcement="Report")], ["budget billing/triage: enforcement Enforce → Report"]),
        ([_budget()], [_budget(waitSeconds=3)], ["budget billing/triage: changed"]),
        ([_budget()], [_budget(), _budget("new")], ["budget billing/new: added"]),
        ([_budget(), _budget("old")], [_budget()], ["budget billing/old: removed, it limits nothing any more"]),
    ],
)  # fmt: skip
def test_what_an_edit_changed(before, after, said):
    """A sentence for each budget that changed, naming amounts before and after."""
    assert changes(before, after) == said


def test_stages_are_told_once():
    """A window is Open until told otherwise; each change is a sentence, a repetition none."""
    stages = Stages()
    assert stages.changed([_window("Open", 10)]) == []
    assert stages.changed([_window("Slow", 85)]) == ["budget billing/triage: 85 % of $5.00 (Day), Slow"]
    assert stages.changed([_window("Slow", 90)]) == []
    assert stages.changed([_window("Slow", 90), _window("Exhausted", 100, "Run")]) == [
        "budget billing/triage: 100 % of $5.00 (Run), Exhausted"
    ]
    assert stages.changed([_window("Open", 40)]) == ["budget billing/triage: 40 % of $5.00 (Day), Open"]


def test_files_are_read_again_when_edited(tmp_path, wfb):
    """An edit counts once it has stayed for one look; a file that is gone is said once; a broken one as its mistakes."""
    path = wfb.budget()
    files = BudgetFiles((str(path),), load)
    files.read()
    assert files.edited() == []
    wfb.budget(usd="8.00")
    assert files.edited() == []
    [(edited, loaded)] = files.edited()
    assert (edited, loaded[0].budget.limits[0].nanos) == (str(path), 8_000_000_000)
    assert files.edited() == []
    files.again(str(path))
    assert len(files.edited()) == 1
    path.unlink()
    said = [found for _ in range(3 * GONE_AFTER) for found in files.edited()]
    assert said == [(str(path), f"{path} is gone: the budgets that it held stay as they were")]
    path.write_text("spec: [")
    files.edited()
    [(_, mistake)] = files.edited()
    assert "is not YAML here" in mistake


@pytest.mark.parametrize(
    ("choice", "err", "out", "drawn"),
    [
        ("auto", True, False, True),
        ("auto", True, True, False),
        ("auto", False, False, False),
        ("on", True, True, True),
        ("on", False, True, False),
        ("off", True, False, False),
    ],
)
def test_when_the_live_line_is_drawn(choice, err, out, drawn):
    """By itself only where standard error is a terminal and the command's output is not on it."""
    assert shows_live(choice, err, out) is drawn


def test_sentences_and_the_live_line():
    """A sentence first takes the line away, and the line leaves the cursor at its start."""
    stream = io.StringIO()
    voice = Voice(stream, live=True)
    voice.line("wfb  one")
    voice.note("two\n  and more")
    voice.clear()
    assert stream.getvalue() == "\r\x1b[2Kwfb  one\r\r\x1b[2Kwfb: two\n  and more\n"


def test_quiet_keeps_errors():
    """Notes are for those who want them, troubles for everyone; a reader who left troubles nobody."""
    stream = io.StringIO()
    voice = Voice(stream, quiet=True)
    voice.note("good to know")
    voice.trouble("wrong")
    assert stream.getvalue() == "wfb: wrong\n"
    stream.close()
    voice.trouble("more")


def test_the_tightest_windows_are_shown():
    """Two at most, the tightest first."""
    text = live_text([_window("Open", 10), _window("Slow", 85, "Run"), _window("Open", 40, "Week")])
    assert text.startswith("wfb  billing/triage Run $4.25 of $5.00 (85 %) Slow  |  billing/triage Week")
    assert "Day" not in text


def _entry(path="/a.yaml", usd="5.00", key="billing/triage"):
    return {"key": key, "path": path, "document": {"usd": usd}}


def test_budgets_of_several_runs():
    """The union by name; an edit of a shared file wins over its older version; another file's version is refused."""
    others = [("one", {"pid": 7, "budgets": [_entry(), _entry("/b.yaml", key="billing/other")]})]
    assert budgets_together([_entry(usd="8.00")], others) == [{"usd": "8.00"}, {"usd": "5.00"}]
    assert budgets_together([_entry("/copy.yaml")], others) == [{"usd": "5.00"}, {"usd": "5.00"}]
    with pytest.raises(StateError, match=r"copy.yaml differs from the one that run one \(pid 7\) uses from /a.yaml"):
        budgets_together([_entry("/copy.yaml", usd="8.00")], others)
