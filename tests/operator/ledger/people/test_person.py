"""Who asks: headers count only over a connection that bears the API server's own certificate."""

import json

import pytest

from wfb_operator.ledger.people.person import FrontProxy, NotTheFrontProxyError, Person

CONFIG = {
    "requestheader-client-ca-file": "PEM",
    "requestheader-allowed-names": json.dumps(["front-proxy"]),
    "requestheader-username-headers": json.dumps(["X-Remote-User"]),
    "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
    "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]),
}
PROXY = {"subject": ((("commonName", "front-proxy"),),)}
ADMIN = {"subject": ((("organizationName", "system:masters"),), (("commonName", "admin"),))}
ANNA = [
    ("X-Remote-User", "anna"),
    ("x-remote-group", "billing"),
    ("X-Remote-Group", "system:authenticated"),
    ("X-Remote-Extra-Scopes", "read"),
    ("x-remote-extra-scopes", "list"),
    ("X-Remote-Extra-Example.com%2fwho", "1"),
    ("Authorization", "Bearer x"),
]


def test_a_person_with_groups_and_extra():
    """Header names in any case, groups and extra values as often as they come, and extra keys as they were encoded."""
    who = FrontProxy.from_config(CONFIG).person(PROXY, ANNA)
    extra = {"scopes": ("read", "list"), "example.com/who": ("1",)}
    assert who == Person("anna", ("billing", "system:authenticated"), extra)


@pytest.mark.parametrize(
    ("certificate", "headers", "words"),
    [
        (None, ANNA, "nobody's and not the API server's"),
        ({}, ANNA, "nobody's and not the API server's"),
        (ADMIN, ANNA, "admin's and not the API server's"),
        (PROXY, ANNA[1:], "named nobody"),
        (PROXY, [("X-Remote-User", "")], "named nobody"),
    ],
    ids=["no certificate", "an unverified one", "an administrator's own", "no user", "an empty user"],
)
def test_nobody_else_is_believed(certificate, headers, words):
    """Whatever the headers say, and whoever signed the certificate."""
    with pytest.raises(NotTheFrontProxyError, match=words):
        FrontProxy.from_config(CONFIG).person(certificate, headers)


def test_no_names_allow_every_name_that_the_roots_signed():
    """That is what an empty list means to an API server."""
    proxy = FrontProxy.from_config({**CONFIG, "requestheader-allowed-names": "[]"})
    assert proxy.person(ADMIN, ANNA).name == "anna"


@pytest.mark.parametrize(
    ("data", "words"),
    [({}, "without aggregation"), ({**CONFIG, "requestheader-allowed-names": "{"}, "requestheader-allowed-names")],
    ids=["no roots", "not JSON"],
)
def test_a_cluster_without_aggregation_is_told(data, words):
    """One sentence that names the field."""
    with pytest.raises(ValueError, match=words):
        FrontProxy.from_config(data)
