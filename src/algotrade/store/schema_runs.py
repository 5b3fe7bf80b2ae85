"""The schema of backtests, of the grounds of decisions, and of kinds of orders: migration 3.

What decisions have in common is kept once, under its hash; a run is a backtest with its whole
journal: holds and refusals of one reason as one row from the first bar to the last.

A decision notes the last ledger entry, mark and halt that it saw (0: none), an order's event the
last decision before it, so that the state of any decision can be rebuilt from the rows alone.
"""

from __future__ import annotations

APPEND_ONLY_SINCE_3 = {
    "grounds": "hash = NEW.hash",
    "runs": "run_id = NEW.run_id OR number = NEW.number",
    "run_entries": "run_id = NEW.run_id AND seq = NEW.seq",
    "run_decisions": "run_id = NEW.run_id AND seq = NEW.seq",
    "run_marks": "run_id = NEW.run_id AND ts = NEW.ts",
}

RUNS = """
CREATE TABLE grounds (
  hash TEXT PRIMARY KEY,
  body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE decisions ADD COLUMN code TEXT;
ALTER TABLE decisions ADD COLUMN grounds TEXT REFERENCES grounds (hash);
ALTER TABLE decisions ADD COLUMN ledger_seq INTEGER;
ALTER TABLE decisions ADD COLUMN marks_ts INTEGER;
ALTER TABLE decisions ADD COLUMN halt_id INTEGER;
ALTER TABLE order_events ADD COLUMN decision_id INTEGER;
ALTER TABLE orders ADD COLUMN type TEXT NOT NULL DEFAULT 'market'
  CHECK (type IN ('market', 'limit', 'stop', 'stop-limit'));
ALTER TABLE orders ADD COLUMN limit_price INTEGER CHECK (limit_price > 0);
ALTER TABLE orders ADD COLUMN stop_price INTEGER CHECK (stop_price > 0);
ALTER TABLE orders ADD COLUMN time_in_force TEXT NOT NULL DEFAULT 'gtc'
  CHECK (time_in_force IN ('gtc', 'day'));

CREATE TABLE runs (
  run_id TEXT PRIMARY KEY,
  number INTEGER NOT NULL UNIQUE,
  sweep TEXT,
  created_at INTEGER NOT NULL,
  source TEXT NOT NULL,
  strategy TEXT NOT NULL,
  symbols TEXT NOT NULL,
  from_ts INTEGER NOT NULL,
  until_ts INTEGER NOT NULL,
  plan_hash TEXT NOT NULL,
  bars_hash TEXT NOT NULL,
  halt TEXT,
  spec TEXT NOT NULL,
  report TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE run_entries (
  run_id TEXT NOT NULL REFERENCES runs (run_id),
  seq INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  kind TEXT NOT NULL,
  ref TEXT NOT NULL,
  symbol TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  price INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  fee INTEGER NOT NULL,
  note TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_decisions (
  run_id TEXT NOT NULL REFERENCES runs (run_id),
  seq INTEGER NOT NULL,
  symbol TEXT NOT NULL,
  from_ts INTEGER NOT NULL,
  until_ts INTEGER NOT NULL,
  action TEXT NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  p_up REAL,
  source TEXT,
  side TEXT,
  quantity INTEGER,
  order_key TEXT,
  PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_marks (
  run_id TEXT NOT NULL REFERENCES runs (run_id),
  ts INTEGER NOT NULL,
  cash INTEGER NOT NULL,
  value INTEGER NOT NULL,
  contributed INTEGER NOT NULL,
  PRIMARY KEY (run_id, ts)
) STRICT, WITHOUT ROWID;

DROP VIEW v_orders;
CREATE VIEW v_orders AS
SELECT substr(o.key, 1, 10) AS order_id, o.account, o.strategy, o.symbol, o.side,
  o.quantity / 1e9 AS quantity, o.type, o.limit_price / 1e6 AS limit_price,
  o.stop_price / 1e6 AS stop_price, o.time_in_force, e.state, e.detail,
  strftime('%Y-%m-%dT%H:%M:%SZ', o.bar_ts / 1000000, 'unixepoch') AS decided_for,
  strftime('%Y-%m-%dT%H:%M:%SZ', o.placed_at / 1000000, 'unixepoch') AS placed_at
FROM orders o JOIN order_events e ON e.key = o.key
  AND e.seq = (SELECT max(seq) FROM order_events WHERE key = o.key);

DROP VIEW v_decisions;
CREATE VIEW v_decisions AS
SELECT decision_id, account, strategy, symbol,
  strftime('%Y-%m-%dT%H:%M:%SZ', bar_ts / 1000000, 'unixepoch') AS decided_for,
  strftime('%Y-%m-%dT%H:%M:%SZ', decided_at / 1000000, 'unixepoch') AS decided_at,
  action, code, reason, prediction, p_up, model_id, substr(order_key, 1, 10) AS order_id,
  (SELECT value FROM json_each(body, '$[0][6]')) AS bars_hash,
  (SELECT value FROM json_each(body, '$[4]')) / 1e9 AS held,
  (SELECT value FROM json_each(body, '$[5]')) / 1e9 AS working,
  (SELECT value FROM json_each(body, '$[6]')) / 1e6 AS equity,
  (SELECT value FROM json_each(body, '$[3][4]')) / 1e9 AS max_quantity, grounds, ledger_seq
FROM decisions;

CREATE VIEW v_checks AS
SELECT c.decision_id, c.check_id, c.unit, c.value / c.scale AS value, c.bound / c.scale AS bound,
  (c.bound - c.value) / c.scale AS headroom,
  CASE c.letter WHEN 'p' THEN 'pass' WHEN 'f' THEN 'fail' WHEN 'e' THEN 'exempt' ELSE 'n/a' END
    AS status
FROM (
  SELECT d.decision_id, k.value AS check_id, v.value AS value, b.value AS bound,
    substr((SELECT value FROM json_each(d.body, '$[3][3]')), k.key + 1, 1) AS letter,
    CASE WHEN k.value IN ('R05', 'R12c') THEN 'usd' WHEN k.value IN ('R06', 'R13') THEN 'shares'
      WHEN k.value = 'R01' THEN 'halts' WHEN k.value = 'R25' THEN 'sessions' ELSE 'bps' END AS unit,
    CASE WHEN k.value IN ('R05', 'R12c') THEN 1e6 WHEN k.value IN ('R06', 'R13') THEN 1e9
      ELSE 1 END AS scale
  FROM decisions d, json_each(d.body, '$[3][0]') k
    JOIN json_each(d.body, '$[3][1]') v ON v.key = k.key
    JOIN json_each(d.body, '$[3][2]') b ON b.key = k.key
  WHERE d.grounds IS NOT NULL
) c;

CREATE VIEW v_features AS
SELECT d.decision_id, n.value AS name, v.value AS value
FROM decisions d, json_each(d.body, '$[1][6]') f
  JOIN json_each(f.value) n ON n.key = 0 JOIN json_each(f.value) v ON v.key = 1
WHERE d.grounds IS NOT NULL;

CREATE VIEW v_drivers AS
SELECT d.decision_id, n.value AS name, v.value AS contribution,
  (SELECT value FROM json_each(d.body, '$[1][9]')) AS unit
FROM decisions d, json_each(d.body, '$[1][7]') f
  JOIN json_each(f.value) n ON n.key = 0 JOIN json_each(f.value) v ON v.key = 1
WHERE d.grounds IS NOT NULL;

CREATE VIEW v_runs AS
SELECT run_id, number, sweep, source, strategy, symbols, halt, plan_hash, bars_hash,
  strftime('%Y-%m-%dT%H:%M:%SZ', created_at / 1000000, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%SZ', from_ts / 1000000, 'unixepoch') AS first_bar,
  strftime('%Y-%m-%dT%H:%M:%SZ', until_ts / 1000000, 'unixepoch') AS last_bar,
  spec, report
FROM runs;

CREATE VIEW v_run_figures AS
SELECT r.run_id, f.key AS name, f.value
FROM runs r, json_each(r.report, '$.figures') f;

CREATE VIEW v_run_fills AS
SELECT run_id, substr(ref, 1, 10) AS order_id, symbol,
  CASE WHEN quantity > 0 THEN 'buy' ELSE 'sell' END AS side,
  abs(quantity) / 1e9 AS quantity, price / 1e6 AS price, fee / 1e6 AS fee,
  strftime('%Y-%m-%dT%H:%M:%SZ', ts / 1000000, 'unixepoch') AS filled_at
FROM run_entries WHERE kind = 'fill';

CREATE VIEW v_run_decisions AS
SELECT run_id, seq, symbol, action, code, reason, p_up, source, side,
  quantity / 1e9 AS quantity, substr(order_key, 1, 10) AS order_id,
  strftime('%Y-%m-%dT%H:%M:%SZ', from_ts / 1000000, 'unixepoch') AS first_bar,
  strftime('%Y-%m-%dT%H:%M:%SZ', until_ts / 1000000, 'unixepoch') AS last_bar
FROM run_decisions;

CREATE VIEW v_run_equity AS
SELECT run_id, strftime('%Y-%m-%dT%H:%M:%SZ', ts / 1000000, 'unixepoch') AS marked_at,
  (cash + value) / 1e6 AS equity, cash / 1e6 AS cash, value / 1e6 AS value,
  contributed / 1e6 AS contributed
FROM run_marks;
"""
