"""Ingestion into raw: candles of exchanges, through the quality gate, and exogenous series from files."""
