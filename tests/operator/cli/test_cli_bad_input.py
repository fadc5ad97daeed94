"""Everything that a new user may get wrong: one clear error, the right exit code, and nothing started."""

import os

import pytest

RUN = ("run", "--budget", "budget.yaml")
LABELLED = (*RUN, "--label", "workflow=triage")

CASES = {
    "no command of ours": ((), 2, ["usage: wfb", "run", "report"]),
    "a misspelt command": (("rum",), 2, ["there is no command 'rum'", "did you mean 'run'?"]),
    "a strange command": (("zzzz",), 2, ["there is no command 'zzzz'", "there are run, report"]),
    "no budget": (("run", "--", "true"), 2, ["--budget", "wfb run --help"]),
    "a misspelt option": ((*RUN, "--lable", "x=y", "--", "true"), 2, ["'--lable' is not an option of run"]),
    "no file": (("run", "--budget", "none.yaml", "--", "true"), 2, ["none.yaml: there is no such file"]),
    "a folder": (("run", "--budget", ".", "--", "true"), 2, ["is a directory"]),
    "every mistake of every file": (
        ("run", "--budget", "bad.yaml", "--budget", "none.yaml", "--", "true"),
        2,
        ["wfb: bad.yaml:", "spec.limits[0].usd", '"200.0"', "none.yaml: there is no such file"],
    ),
    "one name twice": ((*RUN, "--budget", "copy.yaml", "--", "true"), 2, ["billing/triage", "copy.yaml:1", "own name"]),
    "no budget for the labels": (
        (*RUN, "--label", "workflow=other", "--", "true"),
        2,
        ["workflow=other", "selects aifinops.dev/workflow=triage", "add --label workflow=triage"],
    ),
    "no budget in the namespace": ((*LABELLED, "--namespace", "dev", "--", "true"), 2, ["--namespace billing"]),
    "a namespace that is none": ((*LABELLED, "--namespace", "A b", "--", "true"), 2, ["--namespace", "'A b'"]),
    "a label without value": ((*RUN, "--label", "workflow", "--", "true"), 2, ["--label 'workflow'", "KEY=VALUE"]),
    "a label with a strange value": ((*RUN, "--label", "workflow=a b", "--", "true"), 2, ["'a b'", "label"]),
    "a label given twice": (
        (*LABELLED, "--label", "workflow=b", "--", "true"),
        2,
        ["'triage'", "'b'", "a run has one workflow"],
    ),
    "a run's name": ((*LABELLED, "--run", "a/b", "--", "true"), 2, ["--run", "'a/b'"]),
    "no command": (
        LABELLED,
        2,
        ["no command to run", "wfb run --budget budget.yaml --label workflow=triage -- python"],
    ),
    "nothing after --": ((*LABELLED, "--"), 2, ["no command to run"]),
    "no --": ((*LABELLED, "python", "agent.py"), 2, ["put -- before the command"]),
    "no such program": ((*LABELLED, "--", "no-such-program-here"), 127, ["no-such-program-here: command not found"]),
    "no such path": ((*LABELLED, "--", "./nowhere"), 127, ["./nowhere: no such file"]),
    "a program that may not run": ((*LABELLED, "--", "./budget.yaml"), 126, ["permission denied", "chmod +x"]),
    "a folder as program": ((*LABELLED, "--", "./"), 126, ["is a directory"]),
    "an address": ((*LABELLED, "--connect-to", "a=b:1", "--", "true"), 2, ["--connect-to 'a=b:1'", "write"]),
    "an address's port": ((*LABELLED, "--connect-to", "a:1=b:70000", "--", "true"), 2, ["--connect-to"]),
    "an endpoint without provider": ((*LABELLED, "--endpoint", "a:1", "--", "true"), 2, ["127.0.0.1:8000=openai"]),
    "an endpoint's provider": ((*LABELLED, "--endpoint", "a:1=opnai", "--", "true"), 2, ["'opnai'", "anthropic"]),
    "no roots": ((*LABELLED, "--upstream-ca", "none.pem", "--", "true"), 2, ["--upstream-ca none.pem cannot be read"]),
    "roots that are none": ((*LABELLED, "--upstream-ca", "budget.yaml", "--", "true"), 2, ["no certificate in PEM"]),
    "a mode": ((*LABELLED, "--mode", "magic", "--", "true"), 2, ["magic", "base-url"]),
    "JSON into a folder": ((*LABELLED, "--json", ".", "--", "true"), 2, ["--json . is a directory"]),
    "JSON into nowhere": ((*LABELLED, "--json", "no/where.json", "--", "true"), 2, ["there is no folder"]),
    "a state that is a file": ((*LABELLED, "--state", "budget.yaml", "--", "true"), 2, ["budget.yaml", "--state DIR"]),
    "a report of nothing": (("report",), 2, ["nothing was recorded", "--state DIR"]),
    "a report's dimension": (("report", "--by", "workflw"), 2, ["--by workflw", "did you mean workflow?"]),
    "a report by nothing": (("report", "--by", ","), 2, ["--by is empty"]),
    "a report's time": (("report", "--since", "yesterday"), 2, ["--since 'yesterday'", "24h", "2026-11-23"]),
    "a report's end": (("report", "--until", "soon"), 2, ["--until 'soon'", "24h"]),
    "a report that ends before it begins": (
        ("report", "--since", "2026-01-02", "--until", "2026-01-01"),
        2,
        ["--until 2026-01-01 is not after --since 2026-01-02"],
    ),
    "a report of the future": (("report", "--since", "2190-01-01"), 2, ["--since 2190-01-01 is in the future"]),
    "a report until the future": (("report", "--until", "2190-01-01"), 2, ["--until 2190-01-01 is in the future"]),
    "a report's filter": (("report", "--only", "team"), 2, ["--only team is not NAME=VALUE"]),
    "a report's filter's name": (("report", "--only", "tema=x"), 2, ["--only tema", "did you mean team?"]),
    "a report's form": (("report", "-o", "pdf"), 2, ["'pdf'", "html"]),
    "shares by two names": (("report", "--shared", "even"), 2, ["--shared splits by one name"]),
    "idle cost without a rule": (("report", "--idle", "5"), 2, ["--idle needs a rule", "--shared proportional"]),
    "idle cost that is none": (("report", "--idle", "-5", "--shared", "even", "--by", "team"), 2, ["--idle"]),
    "a page by the minute": (("report", "-o", "html", "--by", "minute"), 2, ["--by minute does not go with -o html"]),
    "focus by team": (("report", "-o", "focus", "--by", "team"), 2, ["--by does not go with -o focus"]),
    "top's while": (("top", "--minutes", "0"), 2, ["--minutes 0 is not from 2 to 1440"]),
    "no export": (("reconcile", "--provider", "openai", "none.csv"), 2, ["none.csv cannot be read"]),
    "no such provider": (("reconcile", "--provider", "acme", "x.csv"), 2, ["--provider acme", "openai"]),
    "a share that is none": (
        ("reconcile", "--provider", "openai", "x.csv", "--fail-above", "lots"),
        2,
        ["--fail-above lots is not a percentage"],
    ),
    "a report's word": (("report", "extra"), 2, ["'extra'", "report"]),
}


@pytest.mark.parametrize(("arguments", "code", "words"), CASES.values(), ids=CASES)
def test_bad_input(wfb, arguments, code, words):
    """Exit code and words of the message; no state folder is made, and no trace of Python is shown."""
    wfb.budget()
    wfb.budget("copy.yaml")
    wfb.budget("bad.yaml", usd=200.0)
    ended = wfb.run(*arguments)
    assert ended.returncode == code, ended.stderr
    for word in words:
        assert word in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert not (wfb.state / "ledger").exists()


RULES = {
    "In": (
        {"key": "team", "operator": "In", "values": ["ops", "lab"]},
        "aifinops.dev/team In ops lab: add --label team=ops",
    ),
    "Exists": ({"key": "app", "operator": "Exists"}, "app Exists: add --label app=…"),
    "NotIn": ({"key": "workflow", "operator": "NotIn", "values": ["triage"]}, "NotIn triage: take away the labels"),
}


@pytest.mark.parametrize(("rule", "words"), RULES.values(), ids=RULES)
def test_no_budget_for_the_labels_by_an_expression(wfb, rule, words):
    """Where an expression keeps a run out of every budget, it is shown with what would let the run in."""
    wfb.budget(selector={"matchExpressions": [rule]})
    ended = wfb.run(*LABELLED, "--", "true")
    assert ended.returncode == 2
    assert words in ended.stderr


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"WFB_RUN": "outer"}, ["already inside wfb run outer", "unset WFB_RUN"]),
        ({"HTTPS_PROXY": "http://me:s3cret@corp:3128"}, ["HTTPS_PROXY", "user name or password"]),
    ],
)
def test_bad_environment(wfb, env, words):
    """What the environment asks for and cannot be done is said before anything is started, and no password with it."""
    wfb.budget()
    ended = wfb.run(*LABELLED, "--", "true", **env)
    assert ended.returncode == 2
    for word in words:
        assert word in ended.stderr
    assert "s3cret" not in ended.stderr
    assert not wfb.state.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_that_cannot_be_written(wfb):
    """A read-only folder is told with the way out."""
    wfb.budget()
    (wfb.folder / "closed").mkdir(mode=0o500)
    ended = wfb.run(*LABELLED, "--state", "closed", "--", "true")
    assert ended.returncode == 2
    assert "cannot be written" in ended.stderr


def test_help_and_version(wfb):
    """Both work without a budget or a state, and go to standard output."""
    for arguments, word in ((("--help",), "report"), (("run", "--help"), "examples:"), (("--version",), "wfb ")):
        ended = wfb.run(*arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert word in ended.stdout
