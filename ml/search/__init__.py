"""The search: test cases, search spaces, and successive halving."""
