"""Secrets of users: opened when they arrive, sealed while they are kept. One master key does both.

Clients seal a value to the hub's public key (HPKE, RFC 9180: X25519, HKDF-SHA256, AES-256-GCM); its
private half is derived from the master key, so that every hub process has the same and none stores
it. At rest a value is sealed with AES-256-GCM under another derived key, bound to its owner and
name: a row that is copied to somebody else's opens for nobody.
"""

import base64
import binascii
import re
import secrets
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from adapters.errors import AdapterError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEY_ID_BYTES: Final = 8
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SENT: Final = re.compile(r"v1\.([0-9a-f]{16})\.([A-Za-z0-9_-]+)={0,2}")


class SentUnreadable(AdapterError):
    """What a client has sealed does not open; the text says no more than that."""


class SealBroken(AdapterError):
    """What is kept does not open: it was sealed under another master key, or for somebody else."""


class Vault:
    """The keys of one installation. master_key: 32 random bytes in base64url."""

    def __init__(self, master_key: str) -> None:
        master = base64.urlsafe_b64decode(master_key + "=" * (-len(master_key) % 4))
        self._private = X25519PrivateKey.from_private_bytes(_derived(master, b"transport"))
        rest = _derived(master, b"at rest")
        self._rest, self._rest_id = AESGCM(rest), _digest(rest)[:KEY_ID_BYTES]
        public = self._private.public_key().public_bytes_raw()
        self.public_key: Final = base64.urlsafe_b64encode(public).decode().rstrip("=")
        """Of X25519, 32 bytes in base64url."""
        self.key_id: Final = _digest(public)[:KEY_ID_BYTES].hex()
        """Names the public key: another master key has another."""

    def open_sent(self, name: str, text: str) -> str:
        """The value in `v1.<key_id>.<base64url(enc || ciphertext)>`, sealed for this name.

        Raises:
            SentUnreadable: it is of another form, for another key or name, or changed on the way.
        """
        form = _SENT.fullmatch(text)
        if form is None:
            raise SentUnreadable("expected v1.<key_id>.<base64url>")
        if form[1] != self.key_id:
            raise SentUnreadable("sealed to another key; see GET /api/secrets/public-key")
        try:
            sealed = base64.urlsafe_b64decode(form[2] + "=" * (-len(form[2]) % 4))
            opened = _SUITE.decrypt(sealed, self._private, info=b"artic-secret:" + name.encode())
            return opened.decode()
        except (binascii.Error, InvalidTag, UnicodeDecodeError) as error:
            raise SentUnreadable("it does not open") from error

    def seal(self, owner: UUID, name: str, value: str) -> bytes:
        """The value as it is kept: id of the key, nonce, ciphertext with its tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._rest.encrypt(nonce, value.encode(), _place(owner, name))
        return self._rest_id + nonce + sealed

    def open(self, owner: UUID, name: str, sealed: bytes) -> str:
        """The inverse of seal().

        Raises:
            SealBroken: it does not open.
        """
        key_id, rest = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:]
        if key_id != self._rest_id:
            raise SealBroken(f"{name} was sealed under another ARTIC_MASTER_KEY")
        try:
            nonce, ciphertext = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
            return self._rest.decrypt(nonce, ciphertext, _place(owner, name)).decode()
        except (InvalidTag, ValueError) as error:
            raise SealBroken(f"{name} does not open: its record was changed") from error


def _derived(master: bytes, use: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, b"artic vault: " + use).derive(master)


def _digest(data: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(data)
    return digest.finalize()


def _place(owner: UUID, name: str) -> bytes:
    return owner.bytes + name.encode()
