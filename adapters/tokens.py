"""Access tokens: JWTs that name a user for 15 minutes; refresh tokens and API keys: random.
The only user of PyJWT.

Algorithm, issuer, audience and key id are pinned. The first secret signs; further ones are
still accepted, so that a signing key can be replaced without logging anybody out.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

from adapters.errors import AdapterError

ALGORITHM = "HS256"
ISSUER = "artic"
AUDIENCE = "artic-hub"
ACCESS_TOKEN_LIFETIME_S = 900
REFRESH_TOKEN_LIFETIME = timedelta(days=30)
SECRET_BYTES_MIN = 32
_API_KEY = re.compile(r"ak_[A-Za-z0-9_-]{43}")


class TokenRefused(AdapterError):
    """The token is none of ours, is broken or has expired."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """Whom a token speaks for. The family is the login that it descends from."""

    user_id: UUID
    family_id: UUID
    expires_at: datetime


class AccessTokens:
    """Issues and reads access tokens."""

    def __init__(self, signing_secrets: Sequence[str]) -> None:
        """Takes the signing secret first, then those that it has replaced.

        Raises:
            ValueError: a secret is shorter than 32 bytes, or there is none.
        """
        if not signing_secrets or any(
            len(secret.encode()) < SECRET_BYTES_MIN for secret in signing_secrets
        ):
            raise ValueError(f"a token secret needs at least {SECRET_BYTES_MIN} bytes")
        self._keys = {_key_id(secret): secret for secret in signing_secrets}
        self._signing_id = _key_id(signing_secrets[0])

    def issue(self, user_id: UUID, family_id: UUID, issued_at: datetime | None = None) -> str:
        """A token that is good for ACCESS_TOKEN_LIFETIME_S from issued_at (default: now)."""
        issued_at = issued_at or datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "fam": str(family_id),
            "iat": issued_at,
            "exp": issued_at + timedelta(seconds=ACCESS_TOKEN_LIFETIME_S),
        }
        secret = self._keys[self._signing_id]
        return jwt.encode(claims, secret, ALGORITHM, headers={"kid": self._signing_id})

    def read(self, token: str) -> AccessClaims:
        """The claims of a good token.

        Raises:
            TokenRefused: anything about it is wrong; the text does not repeat the token.
        """
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            secret = self._keys.get(key_id) if isinstance(key_id, str) else None
            if secret is None:
                raise TokenRefused("the token was signed with an unknown key")
            claims = jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={
                    "require": ["exp", "iat", "iss", "aud", "sub"],
                    "strict_aud": True,
                    "verify_iat": False,  # the hub that issued it may be a moment ahead of us
                },
            )
            return AccessClaims(
                user_id=UUID(claims["sub"]),
                family_id=UUID(claims["fam"]),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenRefused("the token has expired") from error
        except (
            jwt.InvalidTokenError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,  # of a time beyond the calendar
        ) as error:
            raise TokenRefused("the token is not valid") from error


def new_refresh_token() -> str:
    """256 random bits; only refresh_token_hash of it is ever stored."""
    return f"rt_{secrets.token_urlsafe(32)}"


def refresh_token_hash(token: str) -> str:
    """What the record knows a refresh token by."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def new_api_key() -> str:
    """`ak_` and 256 random bits; only api_key_hash of it is ever stored."""
    return f"ak_{secrets.token_urlsafe(32)}"


def api_key_hash(key: str) -> str | None:
    """What the record knows an API key by; None for what has not the form of one."""
    return hashlib.sha256(key.encode()).hexdigest() if _API_KEY.fullmatch(key) else None


def _key_id(secret: str) -> str:
    return hashlib.sha256(b"artic-key-id:" + secret.encode()).hexdigest()[:16]
