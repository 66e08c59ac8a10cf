"""A home: the folder of an installation, with its settings, its database file and its store."""
