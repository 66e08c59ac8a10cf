"""What is tried: test cases, the spaces that they are drawn from, and the halving that tries the best ones longer."""
