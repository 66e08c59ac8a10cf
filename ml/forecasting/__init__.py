"""Live forecasting: saved models, forecasts, sealed chains, scores, weights, and the published snapshot."""
