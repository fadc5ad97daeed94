"""The injector as a pure function: golden pods in and out, and what holds for every pod.

WFB_WRITE_GOLDEN=1 writes the golden files anew; the difference is for a person to read.
"""

import copy
import json
import os
import pathlib

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_operator.injector import names
from wfb_operator.injector.inject import apply_patch, inject
from wfb_operator.injector.settings import Settings, SettingsError, parse_settings

GOLDEN = pathlib.Path(__file__).parent / "golden"
CASES = sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))
SETTINGS = Settings(
    image="ghcr.io/workflow-budget-operator/sidecar:0.1.0",
    version="0.1.0",
    ledger_url="https://wfb-ledger.wfb-system.svc",
    ledger_ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
)


def given_case(name):
    """(pod, namespace) of a golden input."""
    document = yaml.safe_load((GOLDEN / f"{name}.in.yaml").read_text())
    return document["pod"], document["namespace"]


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    """Each kind of pod comes out exactly as it is written down, with its report."""
    pod, namespace = given_case(name)
    patch, report = inject(pod, namespace, SETTINGS)
    told = {
        "report": {
            "outcome": report.outcome,
            "reason": report.reason,
            "sentence": report.sentence,
            **({"mode": report.mode} if report.mode else {}),
            **(
                {"warnings": [{"name": w.name, "message": w.message} for w in report.warnings]}
                if report.warnings
                else {}
            ),
        },
        **({"pod": apply_patch(pod, patch)} if patch else {}),
    }
    path = GOLDEN / f"{name}.out.yaml"
    if os.environ.get("WFB_WRITE_GOLDEN"):
        path.write_text(yaml.safe_dump(told, sort_keys=False, width=140))
    assert told == yaml.safe_load(path.read_text())


NAMES = st.sampled_from(["agent", "web", "worker", "metrics"])
VARIABLES = st.sampled_from(
    ["MODEL", "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "JAVA_TOOL_OPTIONS", "OPENAI_BASE_URL"]
)
ENTRIES = st.one_of(
    st.builds(
        lambda n, v: {"name": n, "value": v}, VARIABLES, st.sampled_from(["", "x", "http://p:3128", "$(X)", "a,b"])
    ),
    st.builds(lambda n: {"name": n, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, VARIABLES),
)
CONTAINERS = st.builds(
    lambda name, env, mounts, user: {
        "name": name,
        "image": "i",
        **({"env": env} if env is not None else {}),
        **({"volumeMounts": [{"name": "data", "mountPath": "/d"}]} if mounts else {}),
        **({"securityContext": {"runAsUser": user}} if user else {}),
    },
    NAMES,
    st.none() | st.lists(ENTRIES, max_size=4, unique_by=lambda e: e["name"]),
    st.booleans(),
    st.sampled_from([0, 1000]),
)
ANNOTATIONS = st.dictionaries(
    st.sampled_from([names.MODE, names.OVERRIDE_TRUST, names.EXTRA_CA, names.JAVA, *names.RESOURCES, "other"]),
    st.sampled_from(["transparent", "proxy-env", "base-url", "true", "false", "roots", "256Mi"]),
    max_size=4,
)
PODS = st.builds(
    lambda containers, inits, annotations, volumes: {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {names.INJECT: "true"}, **({"annotations": annotations} if annotations else {})},
        "spec": {
            "containers": containers,
            **({"initContainers": inits} if inits else {}),
            **({"volumes": [{"name": "data", "emptyDir": {}}]} if volumes else {}),
        },
    },
    st.lists(CONTAINERS, min_size=1, max_size=3, unique_by=lambda c: c["name"]),
    st.lists(CONTAINERS, max_size=2, unique_by=lambda c: c["name"]),
    ANNOTATIONS,
    st.booleans(),
)
NAMESPACES = st.builds(
    lambda level, annotations: {
        "metadata": {
            "name": "billing",
            "labels": {"pod-security.kubernetes.io/enforce": level} if level else {},
            "annotations": annotations,
        }
    },
    st.sampled_from(["", "baseline", "restricted", "privileged"]),
    ANNOTATIONS,
)


@given(pod=PODS, namespace=NAMESPACES)
@settings(max_examples=300, deadline=None)
def test_injecting_twice_changes_nothing_more(pod, namespace):
    """Webhooks are called again after others changed the pod: the second time there is nothing to do."""
    before = copy.deepcopy(pod)
    patch, first = inject(pod, namespace, SETTINGS)
    once = apply_patch(pod, patch)
    again, second = inject(once, namespace, SETTINGS)
    assert pod == before
    assert again == []
    assert second.outcome == ("unchanged" if first.outcome == "injected" else first.outcome)
    assert second.mode == first.mode


@given(pod=PODS, namespace=NAMESPACES, moved=st.booleans())
@settings(max_examples=200, deadline=None)
def test_nothing_else_is_touched(pod, namespace, moved):
    """Containers keep their order and all but their environment and mounts; a container of ours that was moved goes back."""
    patch, report = inject(pod, namespace, SETTINGS)
    made = apply_patch(pod, patch)
    for part in ("containers", "initContainers"):
        theirs = [c for c in made["spec"].get(part) or () if c["name"] not in names.CONTAINERS]
        was = pod["spec"].get(part) or []
        assert [c["name"] for c in theirs] == [c["name"] for c in was]
        for now, then in zip(theirs, was, strict=True):
            rest = {"env", "volumeMounts"}
            assert {k: v for k, v in now.items() if k not in rest} == {k: v for k, v in then.items() if k not in rest}
            for mount in then.get("volumeMounts") or ():
                assert mount in now["volumeMounts"]
    if report.outcome == "injected":
        ours = ["wfb-sidecar", "wfb-redirect"] if report.mode == names.TRANSPARENT else ["wfb-sidecar"]
        assert [c["name"] for c in made["spec"]["initContainers"]][: len(ours)] == ours
        if moved:
            made["spec"]["initContainers"].reverse()
            assert (
                apply_patch(made, inject(made, namespace, SETTINGS)[0])["spec"]["initContainers"][0]["name"] == ours[0]
            )


def test_what_the_api_server_adds_is_no_reason_to_inject_again():
    """Defaults, and the mounts that other webhooks put into our containers, are left as they are."""
    pod, namespace = given_case("transparent")
    made = apply_patch(pod, inject(pod, namespace, SETTINGS)[0])
    for container in made["spec"]["initContainers"]:
        container["terminationMessagePath"] = "/dev/termination-log"
        container.setdefault("volumeMounts", []).append({"name": "kube-api-access", "mountPath": "/var/run/secrets"})
    assert inject(made, namespace, SETTINGS)[0] == []


def test_the_configuration_is_json_once_the_uid_is_in():
    """Kubernetes expands one variable in it, and nothing that a user wrote."""
    pod, namespace = given_case("own_proxy")
    pod["spec"]["containers"][0]["env"][0]["value"] = "http://$(PROXY):3128"
    made = apply_patch(pod, inject(pod, namespace, SETTINGS)[0])
    sidecar = made["spec"]["initContainers"][0]
    value = {entry["name"]: entry.get("value") for entry in sidecar["env"]}["WFB_CONFIG"]
    assert [entry["name"] for entry in sidecar["env"]] == ["WFB_POD_UID", "WFB_CONFIG"]  # it must be known before
    assert value.count("$(") - value.count("$$(") == 1
    document = json.loads(value.replace("$(WFB_POD_UID)", "uid-1").replace("$$(", "$("))
    assert (document["holder_prefix"], document["upstream_proxy"]) == ("uid-1/", "http://$(PROXY):3128")


BAD_SETTINGS = {
    "no mapping": ([], "a mapping is expected"),
    "no image": ({"version": "1", "ledgerURL": "https://x"}, "image is missing"),
    "a typo": ({"imgae": "x"}, "unknown field 'imgae'"),
    "no mode": ({"image": "i", "version": "1", "ledgerURL": "u", "mode": "magic"}, "'magic' is none of transparent"),
    "no file": ({"image": "i", "version": "1", "ledgerURL": "u", "ledgerCAFile": "/none"}, "ledgerCAFile"),
    "no text": ({"image": 7, "version": "1", "ledgerURL": "u"}, "image: 7 is not text"),
}


@pytest.mark.parametrize(("document", "words"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_settings_that_cannot_be_used_say_why(document, words):
    """One line that names the field and the way out."""
    with pytest.raises(SettingsError, match=words.replace("(", "\\(")):
        parse_settings(document)
