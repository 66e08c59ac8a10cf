"""Evaluation of a test case: bound to a dataset, split by time, fitted, scored."""
