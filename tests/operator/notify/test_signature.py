"""Signatures of notices, against the published example and against a reading of our own."""

import base64
import hashlib
import hmac

import pytest

from wfb_operator.notify.signature import signed_headers, signing_keys

# The example that the libraries of Standard Webhooks test themselves with.
SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example():
    """The known secret, id, time and body give the known signature."""
    headers = signed_headers(signing_keys(SECRET), ID, AT, BODY)
    assert headers == {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}


def test_two_keys_sign_while_one_replaces_the_other():
    """Each line is a key; a receiver that has either finds its signature."""
    plain = b"a-key-that-is-long-enough-and-plain"
    found = signed_headers(signing_keys(SECRET + b"\n\n" + plain + b"\n"), ID, AT, BODY)["webhook-signature"].split()
    own = base64.b64encode(hmac.new(plain, f"{ID}.{AT}.".encode() + BODY, hashlib.sha256).digest()).decode()
    assert found == [SIGNATURE, f"v1,{own}"]


def test_without_a_key_nothing_is_signed():
    """The id and the time are there all the same."""
    assert signed_headers((), ID, AT, BODY) == {"webhook-id": ID, "webhook-timestamp": str(AT)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"short", "has 5 bytes"),
        (b"whsec_***", "not base64"),
        (b"whsec_YWJj", "has 3"),
    ],
)
def test_what_is_no_key(content, message):
    """A key that anybody could guess, or that is spoilt, signs nothing; the message does not repeat it."""
    with pytest.raises(ValueError, match=message) as refused:
        signing_keys(content)
    assert not content.strip() or content.decode() not in str(refused.value)
