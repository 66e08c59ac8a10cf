"""`python -m flows` is the program `candleworks`."""

from flows.cli import main

if __name__ == "__main__":
    main()
