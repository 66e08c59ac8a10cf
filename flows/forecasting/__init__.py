"""The hourly steps after ingestion: forecasts, scores, weights, anchors of the chains, publishing."""
