"""Judging a series: what its search is worth as a whole, who becomes champion, and who stays it."""
