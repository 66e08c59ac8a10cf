"""A home: the folder of a workspace, with its settings, its database file and its store."""
