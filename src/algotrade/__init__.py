"""algotrade: decide, trade and explain US equities from one process and one SQLite store."""

__version__ = "0.1.0"
