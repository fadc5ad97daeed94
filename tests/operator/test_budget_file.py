"""Budget files: what they may hold, and mistakes with the line where they stand."""

import json
import os
import textwrap

import pytest

from wfb_core.document import parse_budget
from wfb_operator.cli.budget_file import MOST_BYTES, BudgetFileError, load

GOOD = """\
# one team's money
apiVersion: aifinops.dev/v1alpha1
kind: WorkflowBudget
metadata: {name: invoice-triage, namespace: billing}
spec:
  selector: {matchLabels: {aifinops.dev/workflow: invoice-triage}}
  timeZone: Europe/Berlin
  limits:
  - {window: Day, usd: "200.00"}
  - window: Run
    usd: "5.00"
    maxAge: 24h
    ladder: []
  ladder:
  - {atPercent: 70, action: Warn}
  - {atPercent: 85, action: Slow}
  waitSeconds: 12.5
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write ``budget.yaml`` in the working directory, so that messages begin with that name alone."""
    monkeypatch.chdir(tmp_path)

    def to_file(content):
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "budget.yaml").write_bytes(content)
        return "budget.yaml"

    return to_file


def refused(path):
    """The lines of a refused file."""
    with pytest.raises(BudgetFileError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems)
    assert [problem.line for problem in caught.value.problems] == sorted(p.line for p in caught.value.problems)
    return lines


def other(name):
    """The good document under another name."""
    return GOOD.replace("name: invoice-triage,", f"name: {name},")


def test_one_budget(write):
    """A file of one document is one budget, with the JSON document that it was and where it began."""
    (found,) = load(write(GOOD))
    assert (found.path, found.line) == ("budget.yaml", 2)
    assert found.budget.key == "billing/invoice-triage"
    assert found.document["spec"]["limits"][1] == {"window": "Run", "usd": "5.00", "maxAge": "24h", "ladder": []}
    assert parse_budget(json.loads(json.dumps(found.document))) == found.budget


def test_documents_are_plain_json_types(write):
    """Numbers that remember how they were written stay inside: what comes out is dict, list, str, int, float, bool."""
    text = GOOD.replace("metadata: {", "metadata: {generation: 0x1F, creationTimestamp: 2026-11-23, ").replace(
        "  waitSeconds: 12.5", "  waitSeconds: 1_2.50\n  suspend: no"
    )
    (found,) = load(write(text))
    types = set()

    def walk(value):
        types.add(type(value))
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(item)

    walk(found.document)
    assert types == {dict, list, str, int, float, bool}
    assert found.document["metadata"]["generation"] == 31
    assert found.document["metadata"]["creationTimestamp"] == "2026-11-23"
    assert found.document["spec"]["waitSeconds"] == 12.5
    assert found.document["spec"]["suspend"] is False


def test_several_documents(write):
    """Documents parted by ``---`` are budgets each, in the file's order; empty ones are skipped."""
    found = load(write(f"---\n{GOOD}---\n---\n# nothing\n---\n{other('second')}"))
    assert [(one.budget.name, one.line) for one in found] == [("invoice-triage", 3), ("second", 24)]


@pytest.mark.parametrize("kind", ["List", "WorkflowBudgetList", "ClusterWorkflowBudgetList"])
def test_lists(write, kind):
    """A list of budgets, as kubectl prints it, is its items."""
    items = "".join("- " + textwrap.indent(doc.partition("\n")[2], "  ")[2:] for doc in (GOOD, other("second")))
    found = load(write(f"apiVersion: v1\nkind: {kind}\nitems:\n{items}"))
    assert [(one.budget.name, one.line) for one in found] == [("invoice-triage", 4), ("second", 20)]
    lines = refused(write(f"apiVersion: v1\nkind: {kind}\nitems:\n{items.replace('Slow', 'Slo')}"))
    assert lines == [
        (
            "budget.yaml:18: items[0].spec.ladder[1].action: 'Slo' is not known here; did you mean Slow?"
            " Choose Warn, Slow or Downgrade"
        ),
        (
            "budget.yaml:34: items[1].spec.ladder[1].action: 'Slo' is not known here; did you mean Slow?"
            " Choose Warn, Slow or Downgrade"
        ),
    ]


def test_aliases(write):
    """An anchor may be used again; the document has its value in both places."""
    text = GOOD.replace('usd: "200.00"', 'usd: &money "5.00"').replace('    usd: "5.00"', "    usd: *money")
    (found,) = load(write(text))
    assert [limit.nanos for limit in found.budget.limits] == [5 * 10**9] * 2


def test_a_byte_order_mark_is_no_mistake(write):
    """Editors on Windows begin files with a mark and end lines with two characters; neither matters."""
    (found,) = load(write(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()))
    assert found.line == 2


def test_every_mistake_at_once(write):
    """All mistakes of all documents of a file come in one go, by line, with what stands there and the way out."""
    first = GOOD.replace('"200.00"', "200.00").replace("maxAge: 24h", "maxage: 24h").replace("Berlin", "Berln")
    second = other("Second").replace('"5.00"', "1:30").replace("atPercent: 85", "atPercent: 60")
    assert refused(write(f"{first}---\n{second}---\nkind: Deployment\n---\n- 7\n---\nspec: [\n")) == [
        "budget.yaml:7: spec.timeZone: 'Europe/Berln' is not an IANA time zone: did you mean Europe/Berlin?",
        (
            "budget.yaml:9: spec.limits[0].usd: 200.00 is a number: write money as a quoted decimal string,"
            ' such as "200.00"'
        ),
        "budget.yaml:12: spec.limits[1].maxage: is not a known field; did you mean maxAge?",
        (
            "budget.yaml:22: metadata.name: 'Second' is not an object's name: use small letters, digits, '-' and '.', at"
            " most 253, with a letter or digit at both ends of every part, such as invoice-triage"
        ),
        'budget.yaml:29: spec.limits[1].usd: 1:30 is a number: write money as a quoted decimal string, such as "90.00"',
        "budget.yaml:34: spec.ladder[1].atPercent: 60 comes after 70: order the steps by rising percentage",
        (
            "budget.yaml:37: kind: 'Deployment' is not a budget: keep only WorkflowBudget and ClusterWorkflowBudget in"
            " this file"
        ),
        "budget.yaml:39: [7] is not a mapping: a budget has apiVersion, kind and spec",
        (
            "budget.yaml:42: is not YAML here: while parsing a flow node expected the node content, but found"
            " '<stream end>'; check indentation, colons and quotes"
        ),
    ]


def test_columns(write):
    """A problem knows its column too, and of two on one line the left one comes first."""
    with pytest.raises(BudgetFileError) as caught:
        load(write(GOOD.replace('{window: Day, usd: "200.00"}', "{window: day, usd: -1}")))
    assert [(p.line, p.column) for p in caught.value.problems] == [(9, 6), (9, 19)]


def test_what_is_missing_is_told_where_it_belongs(write):
    """A missing field has no line of its own: it is told at the mapping that should hold it."""
    lines = refused(
        write(GOOD.replace(', usd: "200.00"', "").replace("metadata: {name: invoice-triage, ", "metadata: {"))
    )
    assert [line.partition(": is missing")[0] for line in lines] == [
        "budget.yaml:4: metadata.name",
        "budget.yaml:9: spec.limits[0].usd",
    ]


def test_a_key_given_twice(write):
    """YAML would let the last one win in silence; here it is a mistake beside the others of the document."""
    assert refused(write(GOOD.replace("  waitSeconds: 12.5", '  limits: []\n  waitSeconds: "1"'))) == [
        "budget.yaml:17: spec.limits: is given twice, first on line 8: remove one of them",
        "budget.yaml:18: spec.waitSeconds: '1' is not a number: write seconds from 0 to 600, without quotes",
    ]


def test_a_name_given_twice(write):
    """Two budgets of one name would be one in the ledger; the same name in another namespace is another budget."""
    assert refused(write(f"{GOOD}---\n{GOOD}")) == [
        "budget.yaml:22: metadata.name: 'invoice-triage' is the name of the budget on line 2 too: give each its own"
    ]
    elsewhere = GOOD.replace("namespace: billing", "namespace: sales")
    assert len(load(write(f"{GOOD}---\n{elsewhere}"))) == 2


NO_BUDGETS = [  # content, the lines of the answer, or how they begin
    ("", ["budget.yaml: holds no budget: write a document of kind WorkflowBudget or ClusterWorkflowBudget"]),
    ("# later\n---\n---\n", ["budget.yaml: holds no budget: write a document of kind"]),
    ("budget", ["budget.yaml:1: 'budget' is not a mapping: a budget has apiVersion, kind and spec"]),
    ("\n- a\n- b\n", ["budget.yaml:2: ['a', 'b'] is not a mapping"]),
    ("a: b: c", ["budget.yaml:1: is not YAML here: mapping values are not allowed here; check indentation"]),
    ("a:\n\t- b", ["budget.yaml:2: is not YAML here: while scanning for the next token found character '\\t'"]),
    ("a: 'b", ["budget.yaml:1: is not YAML here: while scanning a quoted scalar"]),
    ("a: *b", ["budget.yaml:1: is not YAML here: found undefined alias 'b'"]),
    ("a: b\n\x00", ["budget.yaml:2: holds the character 0x00, which YAML does not allow: remove it"]),
    (b"a: b\nc: \xff\n", ["budget.yaml:2: byte 8 is not UTF-8: save the file as UTF-8"]),
    (GOOD.encode("utf-16"), ["budget.yaml:1: byte 0 is not UTF-8"]),
    ("&a [*a]", ["budget.yaml: is nested more than 64 deep: write the budgets out plainly"]),
    ("[" * 5_000, ["budget.yaml: is nested too deeply: write the budgets out plainly"]),
    ("kind: List", ["budget.yaml:1: items: a List needs items: list the budgets there"]),
    ("kind: List\nitems: []", ["budget.yaml:2: items: a List needs items"]),
    ("kind: List\nitems: [{kind: Pod}]", ["budget.yaml:2: items[0].kind: 'Pod' is not a budget: keep only"]),
    ("!!set {a}", ["budget.yaml:1: has the tag !!set: write plain YAML without it"]),
    ("!mine a", ["budget.yaml:1: has the tag !mine: write plain YAML without it"]),
]


@pytest.mark.parametrize(("content", "begins"), NO_BUDGETS)
def test_files_without_budgets(write, content, begins):
    """Whatever a file holds instead of budgets, the answer is a line that says what and where."""
    lines = refused(write(content))
    assert [line[: len(start)] for line, start in zip(lines, begins, strict=True)] == begins


NO_VALUES = [  # what stands for waitSeconds, the message
    ("!!python/object:os.system 1", "spec.waitSeconds: has the tag !!python/object:os.system: write plain YAML"),
    ("!!binary aGk=", "spec.waitSeconds: has the tag !!binary"),
    (".inf", "spec.waitSeconds: .inf is not a number that JSON has"),
    (".nan", "spec.waitSeconds: .nan is not a number that JSON has"),
    ("1" * 5000, "spec.waitSeconds: '1111"),
    ("!!int abc", "spec.waitSeconds: 'abc' cannot be read as a whole number: write it in quotes"),
    ("!!int ''", "spec.waitSeconds: '' cannot be read as a whole number"),
    ("!!float abc", "spec.waitSeconds: 'abc' cannot be read as a number"),
    ("!!bool abc", "spec.waitSeconds: 'abc' cannot be read as true or false"),
    ('"\\ud800"', "spec.waitSeconds: holds half a surrogate pair"),
    ("{<<: {a: 1}}", "spec.waitSeconds: is a merge key (<<): write the fields out"),
    ("", "spec.waitSeconds: is empty: give it a value or remove it"),
    ("5\n  on: true", "spec: the key 'on' is not text: write a field's name, in quotes"),
    ("5\n  7: true", "spec: the key '7' is not text"),
    ("5\n  ? [a]\n  : true", "spec: the key of several parts is not text"),
    ('5\n  "\\ud800": true', "spec: the key '\\ud800' is not text"),
]


@pytest.mark.parametrize(("written", "message"), NO_VALUES)
def test_values_that_json_has_not(write, written, message):
    """What JSON has no type for is told once, at its place, and nothing of it is ever run."""
    (line,) = refused(write(GOOD.replace("12.5", written)))
    assert line.partition(": ")[2].startswith(message)


def test_aliases_of_aliases(write):
    """A small file that unfolds to a huge one is refused before it does."""
    lines = ["a0: &a0 [" + "1, " * 9 + "]"]
    lines += [f"a{i}: &a{i} [" + f"*a{i - 1}, " * 9 + "]" for i in range(1, 12)]
    (line,) = refused(write("\n".join(lines)))
    assert line == "budget.yaml: unfolds to more than 50000 values: write the budgets out plainly"


def test_a_large_file(write):
    """A file beyond the bound is not read to its end."""
    (line,) = refused(write(GOOD + "#" * MOST_BYTES))
    assert line == "budget.yaml: is larger than 1 MiB: split it into several files"


def test_paths_that_are_no_file(tmp_path):
    """A path that leads to no file is answered with what it is and what to do."""
    (tmp_path / "file").write_text("")
    for path, message in (
        (str(tmp_path / "none.yaml"), "there is no such file: check the path"),
        ("", "there is no such file: check the path"),
        (str(tmp_path), "is a directory: give one YAML file in it"),
        (str(tmp_path / "file" / "below"), "cannot be read (Not a directory): check the path and its permissions"),
        ("a\0b", "cannot be read (embedded null byte): check the path and its permissions"),
    ):
        assert refused(path) == [f"{path}: {message}"]


def test_a_file_that_cannot_be_opened(tmp_path):
    """A path that the system refuses for another reason is answered with that reason."""
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    (line,) = refused(str(loop))
    assert line.startswith(f"{loop}: cannot be read (Too many levels of symbolic links)")


def test_a_pipe(write):
    """A file need not be on disk: a pipe, as the shell's ``<(…)`` makes, is read too."""
    reader, writer = os.pipe()
    os.write(writer, GOOD.encode())
    os.close(writer)
    try:
        assert len(load(f"/dev/fd/{reader}")) == 1
    finally:
        os.close(reader)
