"""How a test case is tried: prepared, split by time, fitted, judged, by the protocol that does not fool its owner."""
