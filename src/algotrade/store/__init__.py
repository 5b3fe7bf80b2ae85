"""The store: one SQLite file; the only room that speaks SQL."""
