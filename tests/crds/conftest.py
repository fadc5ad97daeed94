"""Both kinds in a real API server, asked as programs ask it and as people do."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

CRDS = Path(__file__).resolve().parents[2] / "crds"
PLURALS = {"WorkflowBudget": "workflowbudgets", "ClusterWorkflowBudget": "clusterworkflowbudgets"}


@pytest.fixture(scope="session")
def kubeconfig(request):
    """A kubeconfig of an API server that these tests may fill: the one that is named, else one of our own."""
    given = os.environ.get("WFB_TEST_KUBECONFIG")
    if given:
        return given
    try:
        return request.getfixturevalue("api_server").kubeconfig
    except pytest.FixtureLookupError:
        pytest.skip("no API server: name one with WFB_TEST_KUBECONFIG")


@dataclass
class Answer:
    """What the API server said: the object, or why not."""

    status: int
    body: dict

    @property
    def accepted(self):
        return self.status in (200, 201)

    @property
    def causes(self):
        """Of a refusal: field to message."""
        return [(c.get("field", ""), c["message"]) for c in self.body["details"]["causes"]]


class Kinds:
    """An API server that knows both kinds."""

    def __init__(self, kubeconfig, cache):
        self.kubeconfig, self.cache = str(kubeconfig), str(cache)
        settings = client.Configuration()
        config.load_kube_config(self.kubeconfig, client_configuration=settings)
        self.api = client.ApiClient(settings)

    def call(self, method, path, body=None, content_type="application/json", **query):
        """One request; an answer whatever its status."""
        try:
            found, status, _ = self.api.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                response_types_map={200: "object", 201: "object"},
                auth_settings=["BearerToken"],
                _request_timeout=20,
            )
        except ApiException as error:
            said = str(error.headers.get("Content-Type", ""))
            plain = not said.startswith("application/json")  # a path that is not served yet is answered in plain text
            return Answer(error.status, {"message": error.body} if plain else json.loads(error.body))
        return Answer(status, found)

    def path(self, document, *below):
        """Where objects of a document's kind and namespace live."""
        namespace = document["metadata"].get("namespace")
        within = ["namespaces", namespace] if namespace else []
        return "/".join(["/apis", document["apiVersion"], *within, PLURALS[document["kind"]], *below])

    def ask(self, document, dry_run="All", field_validation="Strict"):
        """Whether a new object would be taken, and how it would be stored; as kubectl asks, unknown fields are told."""
        query = {"dryRun": dry_run} if dry_run else {}
        return self.call("POST", self.path(document), document, fieldValidation=field_validation, **query)

    def apply(self, document, manager, *below, force="false"):
        """Server-side apply of a document."""
        return self.call(
            "PATCH",
            self.path(document, document["metadata"]["name"], *below),
            document,
            "application/apply-patch+yaml",
            fieldManager=manager,
            force=force,
        )

    def delete(self, document):
        """Delete an object."""
        return self.call("DELETE", self.path(document, document["metadata"]["name"]))

    def kubectl(self, *words):
        """What kubectl prints."""
        if not shutil.which("kubectl"):
            pytest.skip("kubectl is not installed")
        done = subprocess.run(
            ["kubectl", "--kubeconfig", self.kubeconfig, "--cache-dir", self.cache, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def definitions():
    """Both definitions by kind, as the files have them."""
    found = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
    return {d["spec"]["names"]["kind"]: d for d in found}


@pytest.fixture(scope="session")
def kinds(kubeconfig, definitions, tmp_path_factory):
    """A real API server that serves both kinds."""
    found = Kinds(kubeconfig, tmp_path_factory.mktemp("kubectl"))
    for definition in definitions.values():
        base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        path = f"{base}/{definition['metadata']['name']}"
        query = {"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"}
        answer = found.call("PATCH", path, definition, "application/apply-patch+yaml", **query)
        assert answer.accepted, answer
    until = time.monotonic() + 30
    for plural in PLURALS.values():
        while not found.call("GET", f"/apis/aifinops.dev/v1alpha1/{plural}").accepted:
            assert time.monotonic() < until
            time.sleep(0.05)
    return found
