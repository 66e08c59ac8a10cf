"""One POST of JSON to an address that is a secret: neither results nor logs contain it."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: Answers after which a gateway cannot say whether the request was processed.
_UNDECIDED = (408, 504)


@dataclass(frozen=True)
class Answer:
    """How a POST ended.

    Attributes:
        state: taken (2xx); refused (any other answer); unreachable (nothing was sent, or not all of it); unanswered
            (it was sent, so it may have been processed).
        reason: the cause in a few words without the address; empty if it was taken.
    """

    state: Literal["taken", "refused", "unreachable", "unanswered"]
    reason: str = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body: that is a failure, not a success."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing; the caller gets the 3xx as an HTTPError."""


def post_json(url: str, text: str, timeout_seconds: float, headers: Mapping[str, str] | None = None) -> Answer:
    """POST a JSON text, without following redirects. Never raises for the address or the network."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        request = urllib.request.Request(
            url,
            text.encode(),
            {"Content-Type": "application/json", **(headers or {})},
            method="POST",
        )
        with opener.open(request, timeout=timeout_seconds):
            return Answer("taken")
    except urllib.error.HTTPError as error:
        error.close()
        return Answer("unanswered" if error.code in _UNDECIDED else "refused", f"it answers {error.code}")
    except urllib.error.URLError as error:  # raised while connecting and sending
        return Answer("unreachable", type(error.reason if isinstance(error.reason, Exception) else error).__name__)
    except http.client.InvalidURL:
        return Answer("refused", "it is no URL")
    except (OSError, http.client.HTTPException) as error:
        return Answer("unanswered", type(error).__name__)
    except ValueError:
        return Answer("refused", "it is no URL")
