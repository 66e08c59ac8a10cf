"""SQLite connections that close failed statements in the thread in which they ran.

SQLAlchemy leaves the cursor of a failed statement (a database that is locked, a row that exists) to the garbage
collector. That may find it in the thread of the server's event loop while the cursor's connection waits for the
database: freeing the cursor (sqlite3_reset) then waits for the connection's mutex, the connection waits for a
transaction of the event loop: a deadlock until Prefect's busy timeout of 60 s expires. A cursor that is already closed
does not wait.
"""

from __future__ import annotations

import sqlite3
from typing import Any


class TidyCursor(sqlite3.Cursor):
    """Closes itself, in the thread of its connection, when a statement fails."""

    def execute(self, *arguments: Any) -> TidyCursor:
        """As `sqlite3.Cursor.execute`; a cursor whose statement failed is closed."""
        try:
            return super().execute(*arguments)
        except BaseException:
            self.close()
            raise

    def executemany(self, *arguments: Any) -> TidyCursor:
        """As `sqlite3.Cursor.executemany`; a cursor whose statement failed is closed."""
        try:
            return super().executemany(*arguments)
        except BaseException:
            self.close()
            raise


class TidyConnection(sqlite3.Connection):
    """A connection with tidy cursors."""

    def cursor(self, *factory: Any) -> Any:
        """With a factory as `sqlite3.Connection.cursor`."""
        return super().cursor(*(factory or (TidyCursor,)))
