"""`wfb meter` as a user types it: table, lines, exit codes and the messages of mistakes."""

import io
import json

import pytest

from wfb_operator.cli.main import main


def _entry(model="gpt-4o", **usage):
    answer = {"model": model, "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100, **usage}}
    return {
        "_id": model,
        "startedDateTime": "2026-11-01T12:00:00Z",
        "request": {
            "method": "POST",
            "url": "https://api.openai.com/v1/chat/completions",
            "postData": {"text": json.dumps({"model": model, "messages": []})},
        },
        "response": {"status": 200, "headers": [], "content": {"text": json.dumps(answer)}},
    }


FOREIGN = {"request": {"method": "GET", "url": "https://example.com/"}, "response": {"status": 200}}


@pytest.fixture
def recording(tmp_path):
    """Writes a HAR of entries; returns its path."""

    def write(*entries):
        path = tmp_path / "traffic.har"
        path.write_text(json.dumps({"log": {"entries": entries}}))
        return str(path)

    return write


def test_the_table_adds_up_by_model(recording, capsys):
    """Calls, tokens and dollars by model, the total, and what was left out with its reason."""
    assert main(["meter", recording(_entry(), _entry(), _entry("gpt-4o-mini"), FOREIGN)]) == 0

    shown = capsys.readouterr().out
    assert "openai/gpt-4o " in shown
    assert "0.007" in shown  # 2 x (1,000 x $2.50 + 100 x $10 a million)
    assert "foreign_host: its host is no provider's" in shown
    assert "2026-11-01" in shown


@pytest.mark.parametrize(("by", "key"), [("host", "api.openai.com"), ("day", "2026-11-01"), ("model", "openai/gpt-4o")])
def test_it_adds_up_by_what_is_asked_for(recording, capsys, by, key):
    """By model, host or day."""
    assert main(["meter", recording(_entry()), "--by", by]) == 0
    assert key in capsys.readouterr().out


def test_json_prints_a_line_an_entry_in_order(recording, capsys):
    """Foreign and damaged entries have their line too."""
    assert main(["meter", recording(_entry(), FOREIGN, 7), "--json"]) == 0

    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert shown.err == "3 entries: 1 metered, 1 foreign_host, 1 entry_damaged\n"
    assert [(row["id"], row["provider"], row["reason"]) for row in rows] == [
        ("gpt-4o", "openai", "metered"),
        (None, None, "foreign_host"),
        (None, None, "entry_damaged"),
    ]


def test_names_from_a_recording_are_shown_as_they_are(recording, capsys):
    """A model's name is no markup, and moves no cursor."""
    assert main(["meter", recording(_entry("[/bold]\x1b[2J"))]) == 0
    assert "openai/[/bold]\ufffd[2J" in capsys.readouterr().out


def test_a_large_recording_shows_its_progress_to_who_watches(recording, capsys, monkeypatch):
    """On standard error, so that the lines on standard output stay what they are."""
    monkeypatch.setattr("wfb_operator.cli.meter._LARGE", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["meter", recording(_entry(), _entry()), "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_standard_input_is_read(recording, capsys, monkeypatch):
    """A dash stands for it."""
    with open(recording(_entry()), "rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read())))
    assert main(["meter", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["usd"] == "0.0035"


def test_contract_prices_come_before_list_prices(recording, capsys, tmp_path):
    """An overlay halves what its models cost."""
    overlay = tmp_path / "prices.yaml"
    overlay.write_text('prices:\n  - provider: openai\n    model: gpt-4o\n    multiplier: "0.5"\n')
    assert main(["meter", recording(_entry()), "--json", "--prices", str(overlay)]) == 0
    assert json.loads(capsys.readouterr().out)["usd"] == "0.00175"


def test_an_own_table_of_hosts_is_read(capsys, tmp_path, recording):
    """A gateway of one's own becomes a provider's host."""
    hosts = tmp_path / "hosts.toml"
    hosts.write_text(
        '[[hosts]]\nhost = "llm.example.com"\nprovider = "openai"\nmounts = ["/v1 compatible"]\nsource = "ours"\n'
    )
    entry = _entry()
    entry["request"]["url"] = "https://llm.example.com/v1/chat/completions"
    assert main(["meter", recording(entry), "--json", "--hosts", str(hosts)]) == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "metered"


MISTAKES = [
    (["meter", "/nowhere.har"], "/nowhere.har: cannot be read: No such file or directory"),
    (["meter", "{text}"], "it is neither a HAR (JSON with log.entries) nor a mitmproxy flow file"),
    (["meter", "{entries}"], "none of 1 entries could be read"),
    (["meter", "{entries}", "--json"], "none of 1 entries could be read"),
    (["meter", "{text}", "--hosts", "{text}"], "not TOML"),
    (["meter", "{text}", "--prices", "{prices}"], ":3: multiplyer: "),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES)
def test_a_mistake_exits_with_2_and_one_line(arguments, says, tmp_path, capsys):
    """The file, what is wrong with it, and the line where it has one."""
    files = {"text": "hello", "entries": "[5]", "prices": "prices:\n  - provider: openai\n    multiplyer: 2\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    names = {name: str(tmp_path / name) for name in files}

    assert main([argument.format(**names) for argument in arguments]) == 2

    shown = capsys.readouterr().err
    assert says in shown
    assert shown.count("\n") == 1
