"""The schema of the care of the ledger: seals, history of limits, heartbeats: migration 6.

A seal covers every row that one commit wrote to the tables of RANGED and TRAILED, and what may
change in place (STATE). Tables without a number that only grows leave a trail, kept by triggers,
so that a row is sealed whoever writes it. What may be changed in place never goes back.
"""

from __future__ import annotations

from algotrade.store.schema_limits import APPEND_ONLY_LIMITS, LIMITS

# the number that only grows, of tables that have one
RANGED = {
    "decisions": "decision_id",
    "halts": "halt_id",
    "trainings": "training_id",
    "model_states": "state_id",
    "limit_changes": "change_id",
}

# the key of the others: at most two columns
TRAILED = {
    "accounts": ("account",),
    "order_events": ("key", "seq"),
    "broker_orders": ("key",),
    "executions": ("account", "execution_id"),
    "marks": ("account", "ts"),
    "run_digests": ("run_id",),
}

APPEND_ONLY_CARE: dict[str, str] = {
    **APPEND_ONLY_LIMITS,
    "seals": "seq = NEW.seq",
    "trail": "n = NEW.n",
    "run_digests": "run_id = NEW.run_id",
    "watched": "account = NEW.account AND ts = NEW.ts",
}

_TABLES = """
CREATE TABLE run_digests (
  run_id TEXT PRIMARY KEY REFERENCES runs (run_id),
  digest TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE trail (
  n INTEGER PRIMARY KEY,
  what TEXT NOT NULL,
  a ANY NOT NULL,
  b ANY
) STRICT;

CREATE TABLE moved (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  n INTEGER NOT NULL
) STRICT;
INSERT INTO moved VALUES (1, 0);

CREATE TABLE seals (
  seq INTEGER PRIMARY KEY,
  ends TEXT NOT NULL,
  rows TEXT NOT NULL,
  state TEXT NOT NULL,
  note TEXT NOT NULL,
  previous TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER seals_chain BEFORE INSERT ON seals
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM seals)
  OR NEW.previous IS NOT coalesce((SELECT hash FROM seals ORDER BY seq DESC LIMIT 1), '')
BEGIN SELECT RAISE(ABORT, 'seals: not the next link of the chain'); END;

CREATE TRIGGER settled_no_way_back BEFORE UPDATE ON settled
WHEN NEW.ts < OLD.ts OR NEW.account <> OLD.account OR NEW.symbol <> OLD.symbol
BEGIN SELECT RAISE(ABORT, 'settled: never goes back'); END;

CREATE TRIGGER settled_no_delete BEFORE DELETE ON settled
BEGIN SELECT RAISE(ABORT, 'settled: never goes back'); END;

CREATE TRIGGER clock_no_way_back BEFORE UPDATE ON meta
WHEN OLD.name = 'sample_clock'
  AND (NEW.name <> OLD.name OR CAST(NEW.value AS INTEGER) < CAST(OLD.value AS INTEGER))
BEGIN SELECT RAISE(ABORT, 'sample_clock: never goes back'); END;

CREATE TRIGGER clock_no_delete BEFORE DELETE ON meta
WHEN OLD.name = 'sample_clock' OR OLD.name LIKE 'head:%'
BEGIN SELECT RAISE(ABORT, 'meta: never goes back'); END;
"""


def _trail(table: str, key: tuple[str, ...]) -> str:
    """Give the statements that note every row of a table: those there are, and those to come."""
    columns = ", ".join((*key, "NULL")[:2])
    values = ", ".join((*(f"NEW.{name}" for name in key), "NULL")[:2])
    return f"""
INSERT INTO trail (what, a, b) SELECT '{table}', {columns} FROM {table} ORDER BY {", ".join(key)};
CREATE TRIGGER {table}_trail AFTER INSERT ON {table}
BEGIN INSERT INTO trail (what, a, b) VALUES ('{table}', {values}); END;
"""


def _moves(table: str, verb: str, when: str = "") -> str:
    return f"""
CREATE TRIGGER {table}_{verb.lower()}_moves AFTER {verb} ON {table} {when}
BEGIN UPDATE moved SET n = n + 1; END;
"""


_NOTED = "WHEN NEW.name = 'sample_clock' OR NEW.name LIKE 'head:%'"

SEALS = (
    _TABLES
    + "".join(_trail(table, key) for table, key in TRAILED.items())
    + "".join(_moves("settled", verb) for verb in ("INSERT", "UPDATE"))
    + "".join(_moves("meta", verb, _NOTED) for verb in ("INSERT", "UPDATE"))
)

# who watches, and when last; what a watch saw, a row a minute, apart from the marks of sessions
HEARTBEATS = """
CREATE TABLE heartbeats (
  account TEXT NOT NULL,
  what TEXT NOT NULL CHECK (what IN ('watch', 'check', 'follow')),
  ts INTEGER NOT NULL,
  pid INTEGER NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (account, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE watched (
  account TEXT NOT NULL,
  ts INTEGER NOT NULL,
  level TEXT NOT NULL,
  feed TEXT NOT NULL,
  equity INTEGER,
  profit INTEGER,
  daily_loss INTEGER,
  drawdown INTEGER,
  oldest_s INTEGER,
  causes TEXT NOT NULL,
  PRIMARY KEY (account, ts)
) STRICT, WITHOUT ROWID;

CREATE VIEW v_watched AS
SELECT account, strftime('%Y-%m-%dT%H:%M:%SZ', ts / 1000000, 'unixepoch') AS watched_at,
  level, feed, equity / 1e6 AS equity, profit / 1e6 AS profit, daily_loss / 100.0 AS daily_loss_pct,
  drawdown / 100.0 AS drawdown_pct, oldest_s AS oldest_price_seconds, causes
FROM watched;
"""

CARE = SEALS + HEARTBEATS + LIMITS
