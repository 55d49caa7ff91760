"""Seals a secret to a hub's public key, so that it can be sent over a wire that others read.

What a client of any language does (HPKE base mode: X25519, HKDF-SHA256, AES-256-GCM), for those
who have a shell.
"""

import base64
import json

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite


def sealed_body(key_name: str, value: str, told: str) -> str:
    """The body of POST /api/secrets. told: what GET /api/secrets/public-key answered.

    Raises:
        ValueError: that was no answer of a hub.
    """
    try:
        answer = json.loads(told)
        key_id, text = str(answer["key_id"]), str(answer["public_key"])
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        public_key = X25519PublicKey.from_public_bytes(data)
    except (ValueError, KeyError, TypeError) as error:  # of JSON and base64, too
        raise ValueError("not what GET /api/secrets/public-key answers") from error
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    sealed = suite.encrypt(value.encode(), public_key, info=b"artic-secret:" + key_name.encode())
    encoded = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
    return json.dumps({"key_name": key_name, "encrypted_value": f"v1.{key_id}.{encoded}"})
