"""A home as pandas frames, for notebooks; `import candleworks` exports it under its public name.

It reads published and exported files only, never the warehouse, so it works while flows run.
"""

from flows.notebook.home import Home, open
from flows.notebook.model import Model
from flows.notebook.remote import Remote, connect

__all__ = ["Home", "Model", "Remote", "connect", "open"]
