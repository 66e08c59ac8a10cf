"""Whether the selection itself can be trusted: all of it on simulated markets whose truth is known."""
