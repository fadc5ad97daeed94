"""The sidecar's authority: accepted for the providers' hosts, refused for everybody else, kept across restarts."""

import datetime
import json
import os
import ssl
import stat
import subprocess

import certifi
import pytest
from cryptography import x509

from wfb_sidecar import trust as trust_module
from wfb_sidecar.authority import LIFETIME, create, open_authority
from wfb_sidecar.config import parse_config
from wfb_sidecar.providers import constraint_names, provider_hosts
from wfb_sidecar.trust import system_roots, write_trust

NAMES = constraint_names(provider_hosts(parse_config({"ledger_url": "u", "token_file": "t", "state_dir": "s"})))
NOW = datetime.datetime.now(datetime.UTC)

ACCEPTED = ("api.openai.com", "eu.api.openai.com", "api.anthropic.com")
REFUSED = ("github.com", "openai.com", "api.openai.com.evil.test", "notapi.openai.com", "203.0.113.7", "2001:db8::1")


@pytest.fixture(scope="module")
def authority():
    """An authority for the host table."""
    return create(NAMES, NOW)


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Writes a host's chain; returns paths of leaf, intermediate and root."""
    folder = tmp_path_factory.mktemp("chains")
    (folder / "root.pem").write_bytes(authority.root_pem)

    def write(host, authority=authority):
        """One host's files."""
        chain, key = authority.leaf(host, NOW)
        leaf, rest = chain.split(b"-----END CERTIFICATE-----\n", 1)
        (folder / "leaf.pem").write_bytes(leaf + b"-----END CERTIFICATE-----\n")
        (folder / "rest.pem").write_bytes(rest)
        (folder / "chain.pem").write_bytes(chain)
        (folder / "key.pem").write_bytes(key)
        return folder

    return write


def _handshake(folder, host, root):
    """Whether Python's strict verification takes a server that shows this chain; raises ssl.SSLError where not."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    client = ssl.create_default_context(cafile=root)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    a_in, a_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(a_in, a_out, server_hostname=host)
    theirs = server.wrap_bio(a_out, a_in, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    ours.do_handshake()
    return ours.getpeercert()


@pytest.mark.parametrize("host", ACCEPTED)
def test_a_providers_chain_is_accepted_by_pythons_strict_check(files, host):
    """VERIFY_X509_STRICT, the default since Python 3.13, finds nothing wrong."""
    folder = files(host)
    assert _handshake(folder, host, folder / "root.pem")["subjectAltName"] == (("DNS", host),)


@pytest.mark.parametrize("host", REFUSED)
def test_another_hosts_chain_is_refused_by_python(files, host):
    """Name constraints: whoever holds the key cannot speak for anybody but the providers."""
    folder = files(host)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"permitted subtree|excluded subtree"):
        _handshake(folder, host, folder / "root.pem")


def _openssl(folder, host):
    return subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            str(folder / "root.pem"),
            "-untrusted",
            str(folder / "rest.pem"),
            *(["-verify_ip", host] if _is_ip(host) else ["-verify_hostname", host]),
            str(folder / "leaf.pem"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def _is_ip(host):
    return host[0].isdigit()


@pytest.mark.parametrize("host", ACCEPTED)
def test_openssl_strict_accepts_a_provider(files, host):
    """The command-line tool with -x509_strict."""
    done = _openssl(files(host), host)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("host", REFUSED)
def test_openssl_strict_refuses_anybody_else(files, host):
    """The command-line tool names the subtree as the reason."""
    done = _openssl(files(host), host)
    assert done.returncode != 0
    assert "subtree violation" in done.stderr


def test_an_endpoints_address_may_be_permitted_alone(files):
    """With an own endpoint by address, that address is accepted and another one is refused."""
    config = {"ledger_url": "u", "token_file": "t", "state_dir": "s"}
    config["endpoints"] = [{"endpoint": "10.1.2.3:8000", "provider": "openai"}]
    own = create(constraint_names(provider_hosts(parse_config(config))), NOW)
    folder = files("10.1.2.3", own)
    root = folder / "own.pem"
    root.write_bytes(own.root_pem)
    assert _handshake(folder, "10.1.2.3", root)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        _handshake(files("10.1.2.4", own), "10.1.2.4", root)
    assert _handshake(files("api.openai.com", own), "api.openai.com", root)


def test_the_authority_outlives_any_pod_and_its_leaves_do_not_outlive_it(authority):
    """A chain that ended in mid-flight would stop every process that trusts it."""
    assert authority.intermediate.not_valid_after_utc - NOW >= LIFETIME - datetime.timedelta(seconds=1)
    leaf = x509.load_pem_x509_certificates(authority.leaf("api.openai.com", NOW)[0])[0]
    assert leaf.not_valid_after_utc < authority.intermediate.not_valid_after_utc
    assert leaf.not_valid_before_utc < NOW


def test_the_authority_is_kept_across_restarts(tmp_path):
    """Same root, or every process that trusts the old one would break; the file is its owner's alone."""
    first = open_authority(str(tmp_path), NAMES, NOW)
    second = open_authority(str(tmp_path), NAMES, NOW + datetime.timedelta(days=200))
    assert second.root_pem == first.root_pem
    assert second.key.private_numbers() == first.key.private_numbers()
    assert stat.S_IMODE((tmp_path / "authority.json").stat().st_mode) == 0o600
    fewer = open_authority(str(tmp_path), NAMES[:1], NOW)
    assert fewer.root_pem == first.root_pem


def test_the_roots_key_is_written_nowhere(tmp_path):
    """One private key is kept, the intermediate's."""
    made = open_authority(str(tmp_path), NAMES, NOW)
    kept = json.loads((tmp_path / "authority.json").read_text())
    assert [k for k, v in kept.items() if "PRIVATE" in str(v)] == ["key"]
    assert made.intermediate.public_key() == made.key.public_key() != made.root.public_key()
    assert sorted(os.listdir(tmp_path)) == ["authority.json"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: {**kept, "key": "nonsense"},
        lambda kept: {**kept, "names": "nonsense"},
        lambda kept: {k: v for k, v in kept.items() if k != "root"},
        lambda kept: [],
        lambda kept: None,
    ],
    ids=["key", "names", "no-root", "no-object", "no-json"],
)
def test_a_damaged_file_is_replaced(tmp_path, spoil):
    """What cannot be read back nobody can rely on."""
    first = open_authority(str(tmp_path), NAMES, NOW)
    path = tmp_path / "authority.json"
    spoiled = spoil(json.loads(path.read_text()))
    path.write_text("{" if spoiled is None else json.dumps(spoiled))
    second = open_authority(str(tmp_path), NAMES, NOW)
    assert second.root_pem != first.root_pem
    assert open_authority(str(tmp_path), NAMES, NOW).root_pem == second.root_pem


def test_the_authority_is_made_anew_when_names_grow_or_its_end_is_near(tmp_path):
    """It cannot speak for a new endpoint, and must not end while a pod lives."""
    first = open_authority(str(tmp_path), NAMES, NOW)
    grown = open_authority(str(tmp_path), (*NAMES, "vllm"), NOW)
    assert grown.root_pem != first.root_pem
    late = open_authority(str(tmp_path), NAMES, NOW + LIFETIME - datetime.timedelta(days=10))
    assert late.root_pem not in {first.root_pem, grown.root_pem}


def test_the_bundle_holds_all_roots_and_the_lone_file_only_ours(authority, tmp_path, certificates):
    """For variables that replace roots the public ones stay; for those that add there is only ours."""
    extra = certificates.root.read_bytes()
    lone, bundle = write_trust(str(tmp_path), authority.root_pem, extra)
    assert [c.subject for c in _certificates(lone)] == [authority.root.subject]
    with open(bundle, "rb") as f:
        whole = _blocks(f.read())
    system = _blocks(system_roots())
    assert whole == [*system, *_blocks(extra), *_blocks(authority.root_pem)]
    assert len(system) > 50
    assert ssl.create_default_context(cafile=bundle).cert_store_stats()["x509_ca"] > 50
    assert stat.S_IMODE(os.stat(bundle).st_mode) == 0o644


def _blocks(pem):
    """The certificates of a bundle, as their bare lines."""
    ends = pem.split(b"-----END CERTIFICATE-----")[:-1]
    return [b"".join(block.partition(b"-----BEGIN CERTIFICATE-----")[2].split()) for block in ends]


def _certificates(path):
    with open(path, "rb") as f:
        return x509.load_pem_x509_certificates(f.read())


def test_without_a_system_bundle_certifis_is_used(monkeypatch, tmp_path):
    """A distroless image has no bundle of its own; with none at all the sidecar says what to install."""
    monkeypatch.setattr(trust_module, "SYSTEM_BUNDLES", (str(tmp_path / "none.pem"),))
    monkeypatch.setattr(trust_module.ssl, "get_default_verify_paths", lambda: type("Paths", (), {"cafile": None}))
    with open(certifi.where(), "rb") as f:
        assert system_roots() == f.read()
    monkeypatch.setattr(trust_module.certifi, "where", lambda: str(tmp_path / "none.pem"))
    with pytest.raises(FileNotFoundError, match="install ca-certificates"):
        system_roots()
