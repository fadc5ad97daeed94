"""Where notices may go: the public internet by https, what the installation names, and never a cloud's metadata."""

import pytest

from wfb_operator.notify.egress import Egress, EgressRefusedError

PUBLIC = "93.184.216.34"
STRICT = Egress()
COMPANY = Egress.allowing(["hooks.corp.example", "*.svc", "http://relay.corp.example:8080", "http://10.9.8.7"])
OWN = Egress(own_machine=True)

TAKEN = [  # rule, address, what its name stands for
    (STRICT, "https://example.org/hook", PUBLIC),
    (STRICT, "https://example.org:8443/hook", "2606:2800:220:1:248:1893:25c8:1946"),
    (COMPANY, "https://hooks.corp.example/x", "10.1.2.3"),
    (COMPANY, "https://receiver.billing.svc/x", "172.20.0.9"),
    (COMPANY, "http://relay.corp.example:8080/x", "fd12::1"),
    (COMPANY, "http://10.9.8.7/x", "10.9.8.7"),
    (OWN, "http://localhost:9000/x", "127.0.0.1"),
    (OWN, "https://nas.home/x", "192.168.1.2"),
]


@pytest.mark.parametrize(("egress", "url", "address"), TAKEN)
def test_what_is_let_through(egress, url, address):
    """By name and by what it resolves to."""
    egress.check(url)
    egress.check_address(url, address)


REFUSED = [  # rule, address, what its name stands for (None: refused by its looks), words
    (STRICT, "http://example.org/hook", None, "is not https"),
    (STRICT, "https://user:word@example.org/", None, "user or password"),
    (STRICT, "ftp://example.org/", None, "no host, or is not https"),
    (STRICT, "https://", None, "no host"),
    (STRICT, "https://example.org:99999/", None, "cannot be read"),
    (STRICT, "https://127.0.0.1/", None, "not of the public internet"),
    (STRICT, "https://[::1]:8443/", None, "not of the public internet"),
    (STRICT, "https://169.254.169.254/latest", None, "not of the public internet"),
    (STRICT, "https://example.org/", "169.254.169.254", "not of the public internet"),
    (STRICT, "https://example.org/", "127.0.0.1", "not of the public internet"),
    (STRICT, "https://example.org/", "10.0.0.1", "not of the public internet"),
    (STRICT, "https://example.org/", "::ffff:10.0.0.1", "the address 10.0.0.1"),
    (STRICT, "https://example.org/", "64:ff9b::a9fe:a9fe", "the address 169.254.169.254"),
    (STRICT, "https://example.org/", "2002:7f00:1::", "the address 127.0.0.1"),
    (STRICT, "https://example.org/", "fd00:ec2::254", "not of the public internet"),
    (STRICT, "https://example.org/", "0.0.0.0", "not of the public internet"),
    (STRICT, "https://example.org/", "224.0.0.1", "not of the public internet"),
    (COMPANY, "https://hooks.corp.example/", "169.254.169.254", "not of the public internet"),
    (COMPANY, "https://hooks.corp.example/", "127.0.0.1", "not of the public internet"),
    (COMPANY, "http://hooks.corp.example/", None, "is not https"),
    (COMPANY, "http://relay.corp.example/", None, "is not https"),
    (COMPANY, "https://10.1.1.1/", None, "not of the public internet"),
    (OWN, "http://169.254.169.254/latest", None, "is not https"),
    (OWN, "https://169.254.169.254/latest", None, "not of the public internet"),
]


@pytest.mark.parametrize(("egress", "url", "address", "words"), REFUSED)
def test_what_is_not(egress, url, address, words):
    """One sentence, which repeats neither path nor password."""
    with pytest.raises(EgressRefusedError, match=words) as refused:
        egress.check(url)
        assert address is not None
        egress.check_address(url, address)
    assert "latest" not in str(refused.value)
    assert "word@" not in str(refused.value)


@pytest.mark.parametrize("entry", ["http://", "https:///x"])
def test_an_entry_without_a_host(entry):
    """Is said to whoever installs."""
    with pytest.raises(ValueError, match="names no host"):
        Egress.allowing([entry])
