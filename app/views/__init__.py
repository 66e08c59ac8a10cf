"""One file a page; `main.py` lists them."""
