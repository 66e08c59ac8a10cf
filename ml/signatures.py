"""Ed25519 signatures of stored content (RFC 8032), with keys as short texts that fit in files and environments."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ml.errors import ConfigurationError


@dataclass(frozen=True)
class SigningKey:
    """A private key. Its representation does not hold the key, so no log line does.

    Args:
        text: 32 bytes, base64.

    Raises:
        ConfigurationError: it is no such text.
    """

    text: str

    def __post_init__(self) -> None:
        self._key()

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public!r})"

    @classmethod
    def create(cls) -> SigningKey:
        """A new random key."""
        return cls(base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode())

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(_bytes(self.text, "a private key"))

    @property
    def public(self) -> str:
        """The public key: 32 bytes, base64."""
        return base64.b64encode(self._key().public_key().public_bytes_raw()).decode()

    def sign(self, content: bytes) -> str:
        """The signature of `content`: 64 bytes, base64; equal content has an equal signature."""
        return base64.b64encode(self._key().sign(content)).decode()


def is_signed(content: bytes, signature: str, public: str) -> bool:
    """Whether `signature` is that of `content` by the owner of the key `public`; False for texts of another form."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _bytes(text: str, kind: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if len(content) != 32:
        raise ConfigurationError(f"Not {kind}: 32 bytes in base64 are expected.")
    return content
