"""Analyses of results: what moved the skill, decision boundaries of classifiers, reports and their month as a page."""
