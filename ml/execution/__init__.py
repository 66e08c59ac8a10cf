"""How a sweep gets done by many: chunks that are claimed, guarded and written down, and the books kept about them."""
