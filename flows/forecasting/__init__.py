"""What runs every hour for the champions: forecasts, scores, weights, heads of the chains, publishing."""
