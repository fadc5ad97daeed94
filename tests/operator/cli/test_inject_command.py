"""``wfb inject``: manifests in, manifests with the sidecar out, and one line for what cannot be."""

import io
import json

import pytest
import yaml

from wfb_operator.cli.main import main

POD = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "x"}]}}
KINDS = {
    "Pod": {"kind": "Pod", **POD},
    "Deployment": {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": POD}},
    "StatefulSet": {"kind": "StatefulSet", "metadata": {"name": "web"}, "spec": {"template": POD}},
    "DaemonSet": {"kind": "DaemonSet", "metadata": {"name": "web"}, "spec": {"template": POD}},
    "Job": {"kind": "Job", "metadata": {"name": "web"}, "spec": {"template": POD}},
    "CronJob": {
        "kind": "CronJob",
        "metadata": {"name": "web"},
        "spec": {"jobTemplate": {"spec": {"template": POD}}},
    },
}
SERVICE = {"kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}


def run(capsys, tmp_path, documents, *arguments):
    """(exit code, printed documents, what was said) of the command on a file."""
    path = tmp_path / "manifests.yaml"
    path.write_text(documents if isinstance(documents, str) else yaml.safe_dump_all(documents))
    code = main(["inject", "-f", str(path), *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("document", KINDS.values(), ids=KINDS)
def test_every_kind_that_makes_pods_is_injected(capsys, tmp_path, document):
    """The template gets the sidecar, wherever the kind keeps it."""
    code, out, _ = run(capsys, tmp_path, [{"apiVersion": "v1", **document}])
    assert code == 0
    assert out.count("name: wfb-sidecar") == 1


def test_what_makes_no_pods_is_printed_as_it_was(capsys, tmp_path):
    """Other objects, and those of a List, pass."""
    code, out, _ = run(capsys, tmp_path, [SERVICE, {"kind": "List", "items": [SERVICE, KINDS["Job"]]}])
    found = list(yaml.safe_load_all(out))
    assert (code, [d["kind"] for d in found]) == (0, ["Service", "Service", "Job"])
    assert found[0] == SERVICE


def test_injecting_what_was_injected_changes_nothing(capsys, tmp_path):
    """Printed manifests can be committed: the next run prints them again."""
    _, once, _ = run(capsys, tmp_path, [KINDS["Deployment"]])
    _, twice, said = run(capsys, tmp_path, once)
    assert twice == once
    assert "unchanged" in said


def test_mode_namespace_and_warnings(capsys, tmp_path):
    """A namespace's Pod Security counts, and what the owner should know is said beside the manifests."""
    namespace = {
        "kind": "Namespace",
        "metadata": {
            "name": "n",
            "labels": {"aifinops.dev/inject": "true", "pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    (tmp_path / "ns.yaml").write_text(yaml.safe_dump(namespace))
    code, out, said = run(capsys, tmp_path, [KINDS["Job"]], "--namespace-file", str(tmp_path / "ns.yaml"))
    assert (code, "HTTPS_PROXY" in out, "job/web: warning: the namespace enforces" in said) == (0, True, True)
    code, out, _ = run(capsys, tmp_path, [KINDS["Job"]], "--mode", "base-url", "-o", "patch")
    assert (code, "OPENAI_BASE_URL" in json.dumps(json.loads(out)["job/web"])) == (0, True)


def test_a_diff_shows_what_is_added(capsys, tmp_path):
    """For review: every added line, and none taken away."""
    _, out, _ = run(capsys, tmp_path, [KINDS["Deployment"]], "-o", "diff")
    lines = [line for line in out.splitlines() if line.startswith(("+", "-")) and not line.startswith(("+++", "---"))]
    assert any("wfb-sidecar" in line for line in lines)
    assert not [line for line in lines if line.startswith("-")]


def test_a_pod_that_would_be_refused_is_exit_one(capsys, tmp_path):
    """So that a pipeline stops at it, with the sentence that admission would give."""
    bad = {**KINDS["Pod"], "spec": {**POD["spec"], "shareProcessNamespace": True}}
    code, _, said = run(capsys, tmp_path, [bad])
    assert (code, "denied: The pod shares one process namespace" in said) == (1, True)


BAD = {
    "not there": (None, "No such file"),
    "empty": ("", "there is nothing in it"),
    "no object": ("- 1\n", "document 1 is no object of Kubernetes"),
    "no YAML": ("a: [", "while parsing"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_file_that_cannot_be_read_is_one_line_and_exit_two(capsys, tmp_path, text, words):
    """The file's name, and what is wrong with it."""
    path = tmp_path / "m.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["inject", "-f", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"wfb: {path}: ")
    assert (words in said or words in said.replace("[Errno 2] ", ""), said.count("\n")) == (True, 1)


def test_standard_input(capsys, monkeypatch):
    """A dash reads what is piped in."""
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(KINDS["Pod"])))
    assert main(["inject", "-f", "-"]) == 0
    assert "wfb-sidecar" in capsys.readouterr().out
