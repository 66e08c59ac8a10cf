"""Decisions on a series: significance of its whole search, promotion of a champion, and its review."""
