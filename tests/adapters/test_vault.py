"""Secrets: what a client seals is opened by the hub alone, and what is kept opens for its owner."""

import base64
import secrets
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given
from hypothesis import strategies as st

from adapters.vault import SealBroken, SentUnreadable, Vault

MASTER = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
VAULT = Vault(MASTER)
ALICE, BOB = UUID(int=1), UUID(int=2)
NAME = "TWELVE_DATA_API_KEY"


def sealed_by_a_client(key_id: str, public_key: str, name: str, value: bytes) -> str:
    """As contract and README tell a client to do it."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    public = X25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(public_key + "="))
    sealed = suite.encrypt(value, public, info=b"artic-secret:" + name.encode())
    return f"v1.{key_id}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"


@given(st.text(max_size=200))
def test_what_a_client_seals_is_opened_for_its_name_alone(value: str) -> None:
    sent = sealed_by_a_client(VAULT.key_id, VAULT.public_key, NAME, value.encode())
    assert VAULT.open_sent(NAME, sent) == value
    with pytest.raises(SentUnreadable, match="it does not open"):
        VAULT.open_sent("OPENAI_API_KEY", sent)


def test_every_process_with_the_same_master_key_has_the_same_public_key() -> None:
    other = Vault(MASTER + "=")
    assert (other.key_id, other.public_key) == (VAULT.key_id, VAULT.public_key)
    assert Vault(base64.urlsafe_b64encode(bytes(32)).decode()).key_id != VAULT.key_id


def test_what_was_changed_on_the_way_does_not_open() -> None:
    sent = sealed_by_a_client(VAULT.key_id, VAULT.public_key, NAME, b"a key")
    head, _, body = sent.rpartition(".")
    data = bytearray(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    for place in range(len(data)):
        data[place] ^= 1
        changed = base64.urlsafe_b64encode(bytes(data)).decode()
        data[place] ^= 1
        with pytest.raises(SentUnreadable):
            VAULT.open_sent(NAME, f"{head}.{changed}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected v1"),
        ("a plain key", "expected v1"),
        ("v2.0000000000000000.AAAA", "expected v1"),
        (f"v1.{VAULT.key_id}.", "expected v1"),
        (f"v1.{VAULT.key_id}.A", "it does not open"),
        (f"v1.{VAULT.key_id}.AAAA", "it does not open"),
        (f"v1.{VAULT.key_id}." + "A" * 64, "it does not open"),
        ("v1.0000000000000000." + "A" * 64, "another key"),
    ],
)
def test_what_is_no_sealed_value_is_refused(text: str, says: str) -> None:
    with pytest.raises(SentUnreadable, match=says):
        VAULT.open_sent(NAME, text)


def test_text_that_is_no_utf_8_is_refused() -> None:
    sent = sealed_by_a_client(VAULT.key_id, VAULT.public_key, NAME, b"\xff\xfe")
    with pytest.raises(SentUnreadable):
        VAULT.open_sent(NAME, sent)


@given(st.text(max_size=200), st.uuids())
def test_what_is_kept_opens_for_its_owner_and_name_alone(value: str, owner: UUID) -> None:
    kept = VAULT.seal(owner, NAME, value)
    assert VAULT.open(owner, NAME, kept) == value
    assert kept != VAULT.seal(owner, NAME, value)  # nobody sees that two are the same
    for thief, name in ((uuid4(), NAME), (owner, "OPENAI_API_KEY")):
        with pytest.raises(SealBroken, match="was changed"):
            VAULT.open(thief, name, kept)


def test_another_master_key_opens_nothing() -> None:
    other = Vault(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    with pytest.raises(SealBroken, match="another ARTIC_MASTER_KEY"):
        other.open(ALICE, NAME, VAULT.seal(ALICE, NAME, "a key"))
    for cut in (b"", VAULT.seal(ALICE, NAME, "a key")[:9]):
        with pytest.raises(SealBroken):
            VAULT.open(ALICE, NAME, cut)
