"""Whose a service account's token is: asked once, remembered while it lives, and never guessed."""

import base64
import json

import pytest

from wfb_core.attribution import Owner
from wfb_operator.ledger.cluster import ClusterAwayError, Reviewed
from wfb_operator.ledger.identities import CONTROLLER, READER, SIDECAR
from wfb_operator.ledger.reviews import REVIEWED_SECONDS, Accounts, TokenReviews, expires_at

NOW = 1_800_000_000.0


def token(name, lives=3600.0):
    """A token with an end of its own; only the API server could sign it, and only the API server is asked."""
    payload = base64.urlsafe_b64encode(json.dumps({"exp": NOW + lives}).encode()).rstrip(b"=").decode()
    return f"{name}.{payload}.signature"


class Script:
    """An API server that a test writes: who is behind which token, what pods there are, and whether it answers."""

    def __init__(self):
        self.users, self.pods, self.asked, self.away = {}, {}, 0, False

    def review(self, token, audience):
        assert audience == "wfb.aifinops.dev"
        self.asked += 1
        if self.away:
            raise ClusterAwayError("POST tokenreviews: ConnectTimeoutError")
        return self.users.get(token)

    def pod(self, namespace, name):
        return self.pods.get((namespace, name))

    def namespace(self, name):
        return {"metadata": {"labels": {"aifinops.dev/team": "finance"}}}

    def owners(self, pod):
        return [Owner("batch", "Job", "triage-1", "uid-job")]


@pytest.fixture
def world():
    """A cluster with one pod, its token, and the tokens of the controller and a reader; and a clock that tests move."""
    script, clock = Script(), {"wall": NOW, "monotonic": 0.0}
    pod = {
        "metadata": {"name": "p", "namespace": "billing", "uid": "uid-p", "labels": {"aifinops.dev/workflow": "triage"}}
    }
    script.pods["billing", "p"] = pod
    account = "system:serviceaccount:"
    script.users = {
        token("pod"): Reviewed(f"{account}billing:default", "p", "uid-p"),
        token("replaced"): Reviewed(f"{account}billing:default", "p", "uid-of-the-pod-before"),
        token("unbound"): Reviewed(f"{account}billing:default"),
        token("controller"): Reviewed(f"{account}wfb-system:wfb-controller", "c", "uid-c"),
        token("reader"): Reviewed(f"{account}wfb-system:viewer"),
        token("person"): Reviewed("alice"),
    }
    accounts = Accounts(frozenset({"wfb-system:wfb-controller"}), frozenset({"wfb-system:viewer"}))
    reviews = TokenReviews(script, accounts, wall=lambda: clock["wall"], monotonic=lambda: clock["monotonic"])
    return reviews, script, clock


WHO = {
    "pod": (SIDECAR, "uid-p/"),
    "controller": (CONTROLLER, ""),
    "reader": (READER, ""),
    "replaced": None,
    "unbound": None,
    "person": None,
    "made-up": None,
}


@pytest.mark.parametrize(("name", "expected"), WHO.items(), ids=WHO)
async def test_who_is_behind_a_token(world, name, expected):
    """The role follows the account, a sidecar is the pod that its token is bound to, and nobody else is anybody."""
    reviews, _, _ = world
    found = await reviews.identity(token(name))
    assert (found and (found.role, found.holder_prefix)) == expected


async def test_a_pod_is_what_the_cluster_says(world):
    """Labels, namespace and run come from the API server's objects."""
    reviews, _, _ = world
    found = await reviews.identity(token("pod"))
    assert dict(found.labels) == {"aifinops.dev/workflow": "triage", "aifinops.dev/team": "finance"}
    assert (found.namespace, found.run) == ("billing", "uid-job")


async def test_a_token_is_asked_about_once(world):
    """However often a sidecar reports, its token is reviewed once in REVIEWED_SECONDS."""
    reviews, script, clock = world
    for _ in range(5):
        await reviews.identity(token("pod"))
    assert script.asked == 1
    clock["monotonic"] = clock["wall"] - NOW + REVIEWED_SECONDS
    await reviews.identity(token("pod"))
    assert script.asked == 2


async def test_an_outage_of_the_api_server_stops_nobody_who_was_there(world):
    """A token that was good stays good while it lives; one that was never seen is not let in, and after its end none is."""
    reviews, script, clock = world
    assert await reviews.identity(token("pod"))
    script.away = True
    clock["monotonic"], clock["wall"] = 3000.0, NOW + 3000.0
    assert (await reviews.identity(token("pod"))).holder_prefix == "uid-p/"
    with pytest.raises(ClusterAwayError):
        await reviews.identity(token("controller"))
    clock["monotonic"], clock["wall"] = 3700.0, NOW + 3700.0
    with pytest.raises(ClusterAwayError):
        await reviews.identity(token("pod"))


async def test_a_deleted_pods_token_ends_with_the_next_review(world):
    """What was believed is looked at again, and a pod that is gone is nobody."""
    reviews, script, clock = world
    assert await reviews.identity(token("pod"))
    del script.pods["billing", "p"]
    clock["monotonic"] = REVIEWED_SECONDS
    assert await reviews.identity(token("pod")) is None


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a.bm90IGpzb24.c", "a.e30.c", "a.WzFd.c"])
def test_a_token_that_says_no_end_is_never_believed_for_long(text):
    """Anything that is not a JWT with an end counts as ended."""
    assert expires_at(text) == 0.0
