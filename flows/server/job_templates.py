"""Base job templates of work pools: what a deployment or a flow run may set for the process that runs it.

Otherwise a client that may create a flow run could choose the command that runs on the worker's machine. So the command
of a run and its environment are not variables of a template but fixed in its job configuration. Prefect's worker merges
`env` of a run into an existing `env`, declared or not, so our templates set variables in the command instead. The
server refuses variables that a template does not declare.
"""

from __future__ import annotations

from typing import Any

from prefect.utilities.templating import apply_values

#: Of processes, of Docker's containers and of Kubernetes' jobs.
FIXED = (
    "command",
    "env",
    "working_dir",
    "image",
    "image_pull_policy",
    "networks",
    "network_mode",
    "volumes",
    "privileged",
    "container_create_kwargs",
    "namespace",
    "service_account_name",
)


def closed(template: dict[str, Any]) -> dict[str, Any]:
    """The template with its variables of `FIXED` replaced by their defaults; it accepts no undeclared ones."""
    variables = template.get("variables", {})
    properties = dict(variables.get("properties", {}))
    defaults = {name: properties.pop(name, {}).get("default") for name in FIXED}
    before = template.get("job_configuration", {})
    fixed: Any = apply_values(before, defaults, remove_notset=False)
    return {
        # A variable without a default is dropped: the worker uses its own.
        "job_configuration": {name: fixed[name] for name in before if fixed[name] is not None or before[name] is None},
        "variables": {"type": "object", **variables, "properties": properties, "additionalProperties": False},
    }
