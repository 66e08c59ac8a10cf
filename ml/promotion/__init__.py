"""Who becomes and stays champion: the field and its significance, the rules, the holdout, verdicts and reviews."""
