"""Processes of this machine: children that end with their parent, a launcher for what workers start, and ports."""
