"""Parts of builds, and builds broken off, held against a full build: for the tests and for `make drill`."""
