"""Keys and signatures."""

from __future__ import annotations

import pytest

from ml.errors import ConfigurationError
from ml.signatures import SigningKey, is_signed


def test_only_the_owner_of_the_key_signs_and_only_this_content() -> None:
    key, other = SigningKey.create(), SigningKey.create()
    signature = key.sign(b"content")
    assert is_signed(b"content", signature, key.public)
    assert SigningKey(key.text).sign(b"content") == signature
    assert not is_signed(b"Content", signature, key.public)
    assert not is_signed(b"content", signature, other.public)
    assert not is_signed(b"content", other.sign(b"content"), key.public)


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é" * 44, "A" * 44])
def test_texts_of_another_form_sign_nothing_and_are_no_keys(text: str) -> None:
    key = SigningKey.create()
    assert not is_signed(b"content", text, key.public)
    assert not is_signed(b"content", key.sign(b"content"), text)
    with pytest.raises(ConfigurationError, match="Not a private key"):
        SigningKey(text)


def test_a_key_does_not_print_itself() -> None:
    key = SigningKey.create()
    assert key.text not in f"{key!r} {key}"
