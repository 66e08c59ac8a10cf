"""The analyses of results as steps of a flow: effects, decision boundaries, reports of a month."""
