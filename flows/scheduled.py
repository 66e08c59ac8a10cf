"""Entry points of the deployments that transform: dbt begins to load before all else, because it takes longest.

A process of Prefect imports this module to run a flow of it. dbt then loads on another core beside the imports of the
flows themselves and the ingest, and waits for the flow's first transformation.
"""

from __future__ import annotations

import os

from flows.installation import open_installation
from flows.marts import keep_dbt

# Set where a flow runs, not where a deployment is made of it.
if "PREFECT__FLOW_RUN_ID" in os.environ and "CANDLEWORKS_HOME" in os.environ:
    keep_dbt(open_installation(os.environ["CANDLEWORKS_HOME"], os.environ.get("CANDLEWORKS_CONFIG")))

from flows.pipeline import hourly, nightly
from flows.review_flow import review

__all__ = ["hourly", "nightly", "review"]
