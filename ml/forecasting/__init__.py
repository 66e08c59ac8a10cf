"""What champions do: saved models, forecasts, sealed chains, scores, weights, and the snapshot that is published."""
