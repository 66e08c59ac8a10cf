"""Commands that a page names, with the home that the page shows."""

from __future__ import annotations

from html import escape
from pathlib import Path

from app.snapshot import DEFAULT_STORE, store_url

_DEFAULT_HOME = str(Path(DEFAULT_STORE).parent)


def home() -> str | None:
    """Folder of the home whose store is shown; None for an object store or a folder of another name."""
    url = store_url()
    return None if "://" in url or Path(url).name != "store" else str(Path(url).parent)


def command(name: str) -> str:
    """A command as Markdown code, with `--home` unless it is the default one.

    >>> command("publish")
    '`candleworks publish`'
    """
    shown = home()
    is_default = shown is None or shown == _DEFAULT_HOME or Path(shown).resolve() == Path(_DEFAULT_HOME).resolve()
    return f"`candleworks {name}`" if is_default else f"`candleworks {name} --home {shown}`"


def command_html(name: str) -> str:
    """The same as HTML."""
    return f"<code>{escape(command(name).strip('`'))}</code>"
