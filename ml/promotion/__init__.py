"""Promotion and review of champions: significance of the field, rules, holdout, verdicts and reviews."""
