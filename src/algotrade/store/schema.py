"""The schema, as numbered migrations that are only ever appended to.

Facts are append-only: triggers refuse UPDATE, DELETE and INSERT OR REPLACE on the tables of
APPEND_ONLY. The views at the end are the public SQL interface.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.store.schema_care import APPEND_ONLY_CARE, CARE
from algotrade.store.schema_learning import APPEND_ONLY_LEARNING, LEARNING
from algotrade.store.schema_orders import APPEND_ONLY_ORDERS, ORDERS
from algotrade.store.schema_runs import APPEND_ONLY_SINCE_3, RUNS

if TYPE_CHECKING:
    from collections.abc import Mapping

APPLICATION_ID = 0x616C676F  # "algo"

APPEND_ONLY = {
    "ledger": "account = NEW.account AND (seq = NEW.seq OR (kind = NEW.kind AND ref = NEW.ref))",
    "orders": "key = NEW.key",
    "order_events": "key = NEW.key AND seq = NEW.seq",
    "decisions": "decision_id = NEW.decision_id",
    "marks": "account = NEW.account AND ts = NEW.ts",
    "halts": "halt_id = NEW.halt_id",
    "trainings": "training_id = NEW.training_id",
}

_TABLES = """
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  day INTEGER PRIMARY KEY,
  opens INTEGER NOT NULL,
  closes INTEGER NOT NULL CHECK (closes > opens)
) STRICT;

CREATE TABLE series (
  series_id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  symbol TEXT NOT NULL,
  timeframe TEXT NOT NULL,
  UNIQUE (source, symbol, timeframe)
) STRICT;

CREATE TABLE bars (
  series_id INTEGER NOT NULL REFERENCES series (series_id),
  ts_close INTEGER NOT NULL,
  seconds INTEGER NOT NULL CHECK (seconds > 0),
  open INTEGER NOT NULL CHECK (open > 0),
  high INTEGER NOT NULL,
  low INTEGER NOT NULL CHECK (low > 0),
  close INTEGER NOT NULL CHECK (close > 0),
  volume INTEGER NOT NULL CHECK (volume >= 0),
  known_at INTEGER NOT NULL,
  PRIMARY KEY (series_id, ts_close),
  CHECK (low <= open AND low <= close AND high >= open AND high >= close)
) STRICT, WITHOUT ROWID;

CREATE TABLE bar_revisions (
  series_id INTEGER NOT NULL REFERENCES series (series_id),
  ts_close INTEGER NOT NULL,
  seconds INTEGER NOT NULL,
  open INTEGER NOT NULL,
  high INTEGER NOT NULL,
  low INTEGER NOT NULL,
  close INTEGER NOT NULL,
  volume INTEGER NOT NULL,
  known_at INTEGER NOT NULL,
  superseded_at INTEGER NOT NULL,
  PRIMARY KEY (series_id, ts_close, known_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE coverage (
  coverage_id INTEGER PRIMARY KEY,
  series_id INTEGER NOT NULL REFERENCES series (series_id),
  first_day INTEGER NOT NULL,
  last_day INTEGER NOT NULL,
  asked_at INTEGER NOT NULL,
  bars INTEGER NOT NULL
) STRICT;

CREATE TABLE rejected_bars (
  series_id INTEGER NOT NULL REFERENCES series (series_id),
  bar TEXT NOT NULL,
  reason TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (series_id, bar, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE splits (
  source TEXT NOT NULL,
  symbol TEXT NOT NULL,
  ex_day INTEGER NOT NULL,
  split_from INTEGER NOT NULL CHECK (split_from > 0),
  split_to INTEGER NOT NULL CHECK (split_to > 0),
  known_at INTEGER NOT NULL,
  superseded_at INTEGER,
  PRIMARY KEY (source, symbol, ex_day, known_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE dividends (
  source TEXT NOT NULL,
  symbol TEXT NOT NULL,
  ex_day INTEGER NOT NULL,
  amount INTEGER NOT NULL CHECK (amount > 0),
  known_at INTEGER NOT NULL,
  superseded_at INTEGER,
  PRIMARY KEY (source, symbol, ex_day, known_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE trainings (
  training_id INTEGER PRIMARY KEY,
  model_id TEXT NOT NULL,
  source TEXT NOT NULL,
  trained_at INTEGER NOT NULL,
  card_sha256 TEXT NOT NULL
) STRICT;

CREATE TABLE accounts (
  account TEXT PRIMARY KEY,
  source TEXT NOT NULL,
  opened_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
  account TEXT NOT NULL REFERENCES accounts (account),
  seq INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  kind TEXT NOT NULL,
  ref TEXT NOT NULL,
  symbol TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  price INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  fee INTEGER NOT NULL CHECK (fee >= 0),
  note TEXT NOT NULL,
  previous TEXT NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (account, seq),
  UNIQUE (account, kind, ref)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
  decision_id INTEGER PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts (account),
  strategy TEXT NOT NULL,
  symbol TEXT NOT NULL,
  bar_ts INTEGER NOT NULL,
  decided_at INTEGER NOT NULL,
  action TEXT NOT NULL CHECK (action IN ('order', 'hold', 'refused')),
  reason TEXT NOT NULL,
  prediction INTEGER,
  p_up REAL,
  model_id TEXT,
  order_key TEXT,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_by_order ON decisions (order_key) WHERE order_key IS NOT NULL;
CREATE INDEX decisions_by_symbol ON decisions (account, symbol, bar_ts);

CREATE TABLE orders (
  key TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts (account),
  strategy TEXT NOT NULL,
  symbol TEXT NOT NULL,
  side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  bar_ts INTEGER NOT NULL,
  placed_at INTEGER NOT NULL,
  client_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_by_account ON orders (account, symbol, bar_ts);

CREATE TABLE order_events (
  key TEXT NOT NULL REFERENCES orders (key),
  seq INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  state TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (
  account TEXT NOT NULL REFERENCES accounts (account),
  ts INTEGER NOT NULL,
  cash INTEGER NOT NULL,
  value INTEGER NOT NULL,
  contributed INTEGER NOT NULL,
  PRIMARY KEY (account, ts)
) STRICT, WITHOUT ROWID;

CREATE TABLE settled (
  account TEXT NOT NULL REFERENCES accounts (account),
  symbol TEXT NOT NULL,
  ts INTEGER NOT NULL,
  PRIMARY KEY (account, symbol)
) STRICT, WITHOUT ROWID;

CREATE TABLE halts (
  halt_id INTEGER PRIMARY KEY,
  account TEXT NOT NULL,
  ts INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('halt', 'reset')),
  reason TEXT NOT NULL
) STRICT;
"""

_CHAIN = """
CREATE TRIGGER ledger_chain BEFORE INSERT ON ledger
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM ledger WHERE account = NEW.account)
  OR NEW.previous IS NOT coalesce(
    (SELECT hash FROM ledger WHERE account = NEW.account ORDER BY seq DESC LIMIT 1), '')
BEGIN SELECT RAISE(ABORT, 'ledger: not the next link of the chain'); END;
"""

_VIEWS = """
CREATE VIEW v_bars AS
SELECT s.source, s.symbol, s.timeframe,
  strftime('%Y-%m-%dT%H:%M:%SZ', b.ts_close / 1000000, 'unixepoch') AS closed_at,
  b.open / 1e6 AS open, b.high / 1e6 AS high, b.low / 1e6 AS low, b.close / 1e6 AS close,
  b.volume / 1e6 AS volume
FROM bars b JOIN series s USING (series_id);

CREATE VIEW v_orders AS
SELECT substr(o.key, 1, 10) AS order_id, o.account, o.strategy, o.symbol, o.side,
  o.quantity / 1e9 AS quantity, e.state, e.detail,
  strftime('%Y-%m-%dT%H:%M:%SZ', o.bar_ts / 1000000, 'unixepoch') AS decided_for,
  strftime('%Y-%m-%dT%H:%M:%SZ', o.placed_at / 1000000, 'unixepoch') AS placed_at
FROM orders o JOIN order_events e ON e.key = o.key
  AND e.seq = (SELECT max(seq) FROM order_events WHERE key = o.key);

CREATE VIEW v_fills AS
SELECT substr(l.ref, 1, 10) AS order_id, l.account, l.symbol,
  CASE WHEN l.quantity > 0 THEN 'buy' ELSE 'sell' END AS side,
  abs(l.quantity) / 1e9 AS quantity, l.price / 1e6 AS price, l.fee / 1e6 AS fee,
  strftime('%Y-%m-%dT%H:%M:%SZ', l.ts / 1000000, 'unixepoch') AS filled_at
FROM ledger l WHERE l.kind = 'fill';

CREATE VIEW v_decisions AS
SELECT decision_id, account, strategy, symbol,
  strftime('%Y-%m-%dT%H:%M:%SZ', bar_ts / 1000000, 'unixepoch') AS decided_for,
  strftime('%Y-%m-%dT%H:%M:%SZ', decided_at / 1000000, 'unixepoch') AS decided_at,
  action, reason, prediction, p_up, model_id, substr(order_key, 1, 10) AS order_id
FROM decisions;

CREATE VIEW v_equity AS
SELECT account, strftime('%Y-%m-%dT%H:%M:%SZ', ts / 1000000, 'unixepoch') AS marked_at,
  (cash + value) / 1e6 AS equity, cash / 1e6 AS cash, value / 1e6 AS value,
  contributed / 1e6 AS contributed
FROM marks;
"""

_CHUNK_AT = """chunk_id = (
    SELECT chunk_id FROM bar_chunks
    WHERE series_id = {row}.series_id AND start <= {row}.ts_close ORDER BY start DESC LIMIT 1
  ) AND stop > {row}.ts_close"""

# The chunks of a series that is wholly cached tile the line of time without a gap, so a row that
# comes, goes or changes always lies in one chunk: that one is dropped, whoever wrote the row.
_CHUNKS = f"""
CREATE TABLE bar_chunks (
  chunk_id INTEGER PRIMARY KEY,
  series_id INTEGER NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL CHECK (stop > start),
  version INTEGER NOT NULL,
  count INTEGER NOT NULL,
  first_ts INTEGER,
  last_ts INTEGER,
  ts_close BLOB NOT NULL,
  close BLOB NOT NULL,
  volume BLOB NOT NULL,
  open BLOB NOT NULL,
  high BLOB NOT NULL,
  low BLOB NOT NULL,
  ts_open BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX bar_chunks_by_start ON bar_chunks (series_id, start, stop);

CREATE TRIGGER bars_insert_drops_chunk AFTER INSERT ON bars
WHEN (SELECT stop FROM bar_chunks WHERE series_id = NEW.series_id AND start <= NEW.ts_close
  ORDER BY start DESC LIMIT 1) > NEW.ts_close
BEGIN
  DELETE FROM bar_chunks WHERE {_CHUNK_AT.format(row="NEW")};
END;

CREATE TRIGGER bars_update_drops_chunk AFTER UPDATE ON bars
BEGIN
  DELETE FROM bar_chunks WHERE {_CHUNK_AT.format(row="OLD")};
  DELETE FROM bar_chunks WHERE {_CHUNK_AT.format(row="NEW")};
END;

CREATE TRIGGER bars_delete_drops_chunk AFTER DELETE ON bars
BEGIN
  DELETE FROM bar_chunks WHERE {_CHUNK_AT.format(row="OLD")};
END;

CREATE TRIGGER series_delete_drops_chunks AFTER DELETE ON series
BEGIN
  DELETE FROM bar_chunks WHERE series_id = OLD.series_id;
END;
"""


def _append_only_triggers(tables: Mapping[str, str]) -> str:
    statements = []
    for table, same in tables.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;"
        statements += [
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
            (
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}"
                f" WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) {refuse}"
            ),
        ]
    return "\n".join(statements)


def first_schema() -> str:
    """Give the statements of migration 1."""
    return _TABLES + _append_only_triggers(APPEND_ONLY) + _CHAIN + _VIEWS


def second_schema() -> str:
    """Give the statements of migration 2: the columnar cache of bars, built anew when dropped."""
    return _CHUNKS


def third_schema() -> str:
    """Give the statements of migration 3: backtests, kinds of orders, grounds of decisions."""
    return RUNS + _append_only_triggers(APPEND_ONLY_SINCE_3)


def fourth_schema() -> str:
    """Give the statements of migration 4: trials, states of models, shadows."""
    return LEARNING + _append_only_triggers(APPEND_ONLY_LEARNING)


def fifth_schema() -> str:
    """Give the statements of migration 5: order life at real brokers."""
    return ORDERS + _append_only_triggers(APPEND_ONLY_ORDERS)


def sixth_schema() -> str:
    """Give the statements of migration 6: chains, history of limits, heartbeats."""
    return CARE + _append_only_triggers(APPEND_ONLY_CARE)


MIGRATIONS = (
    first_schema,
    second_schema,
    third_schema,
    fourth_schema,
    fifth_schema,
    sixth_schema,
)
VERSION = len(MIGRATIONS)
