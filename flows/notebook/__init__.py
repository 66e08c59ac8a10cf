"""A home as pandas frames, for notebooks; `import candleworks` offers what is here under its public name.

Only what was published and exported is read, never the warehouse, so that everything works while flows run.
"""

from flows.notebook.home import Home, open
from flows.notebook.model import Model

__all__ = ["Home", "Model", "open"]
