"""The product's files that are not Python: the dbt project, the deployments, and the initial settings file.

In a checkout they are at its top, as users of dbt and Prefect expect; a wheel has them inside this package
(`[tool.setuptools.package-dir]` in pyproject.toml). Nothing is written into them.
"""

from __future__ import annotations

from pathlib import Path

import flows
from ml.errors import ConfigurationError

_PACKAGE = Path(flows.__file__).resolve().parent


def product_file(name: str) -> Path:
    """A file or folder such as ``dbt``, in the wheel or in the checkout that this code runs from.

    Raises:
        ConfigurationError: it is in neither.
    """
    places = (_PACKAGE / "shipped" / name, _PACKAGE.parent / name)
    for place in places:
        if place.exists():
            return place
    raise ConfigurationError(
        f"This copy of Candleworks lacks {name}: it is neither {places[0]} nor {places[1]}. "
        "Install the wheel again (`pip install --force-reinstall --no-deps WHEEL`), or restore it in the checkout."
    )
