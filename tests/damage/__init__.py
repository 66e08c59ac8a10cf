"""Damage as a class of tests: every kind of file of a home x every damage x every command that reads it."""
