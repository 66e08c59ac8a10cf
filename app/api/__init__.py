"""The HTTP API: the published snapshot and the saved models for other programs; nothing is written."""
