"""The schema of order life at real brokers: migration 5.

The store refuses a step that no order's life has, and a fill of more than was asked, whoever writes
it. A broker's execution is written down once; one that was not booked has no ledger entry.
"""

from __future__ import annotations

APPEND_ONLY_ORDERS = {
    "broker_orders": "key = NEW.key OR (account = NEW.account AND broker_id = NEW.broker_id)",
    "executions": "account = NEW.account AND execution_id = NEW.execution_id",
}

ORDERS = """
CREATE TABLE broker_orders (
  key TEXT PRIMARY KEY REFERENCES orders (key),
  account TEXT NOT NULL REFERENCES accounts (account),
  broker_id TEXT NOT NULL,
  UNIQUE (account, broker_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE executions (
  account TEXT NOT NULL REFERENCES accounts (account),
  execution_id TEXT NOT NULL,
  key TEXT REFERENCES orders (key),
  ts INTEGER NOT NULL,
  symbol TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  price INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  seq INTEGER,
  PRIMARY KEY (account, execution_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER order_events_arrow BEFORE INSERT ON order_events
WHEN NOT EXISTS (SELECT 1 FROM order_events WHERE key = NEW.key AND seq = NEW.seq)
  AND instr(  -- one text: a list is put into a table of its own for every row
',>intent,>accepted,
,intent>submitting,
,intent>partial,intent>filled,intent>cancelled,intent>expired,
,submitting>intent,submitting>unknown,submitting>accepted,submitting>rejected,
,submitting>partial,submitting>filled,submitting>cancelled,submitting>expired,
,unknown>submitting,unknown>accepted,unknown>rejected,
,unknown>partial,unknown>filled,unknown>cancelled,unknown>expired,
,accepted>triggered,accepted>rejected,
,accepted>partial,accepted>filled,accepted>cancelled,accepted>expired,
,triggered>partial,triggered>filled,triggered>cancelled,triggered>expired,
,partial>partial,partial>filled,partial>cancelled,partial>expired,
,rejected>partial,rejected>filled,
,cancelled>cancelled,cancelled>filled,expired>expired,expired>filled,',
  ',' || coalesce(
  (SELECT state FROM order_events WHERE key = NEW.key ORDER BY seq DESC LIMIT 1), '')
  || '>' || NEW.state || ',') = 0
BEGIN SELECT RAISE(ABORT, 'order_events: no such step in the life of an order'); END;

CREATE TRIGGER ledger_fill_within_order BEFORE INSERT ON ledger
WHEN NEW.kind = 'fill'
  AND NOT EXISTS (SELECT 1 FROM ledger
    WHERE account = NEW.account AND (seq = NEW.seq OR (kind = 'fill' AND ref = NEW.ref)))
  AND EXISTS (
  SELECT 1 FROM orders o WHERE o.key = substr(NEW.ref, 1, instr(NEW.ref, '.') - 1)
    AND (o.account <> NEW.account OR o.symbol <> NEW.symbol
      OR (o.side = 'buy') <> (NEW.quantity > 0)
      OR abs(NEW.quantity) + (
        SELECT coalesce(sum(abs(l.quantity)), 0) FROM ledger l
        WHERE l.account = NEW.account AND l.kind = 'fill'
          AND l.ref >= o.key || '.' AND l.ref < o.key || '/') > o.quantity))
BEGIN SELECT RAISE(ABORT, 'ledger: a fill beyond its order'); END;

CREATE VIEW v_executions AS
SELECT x.account, x.execution_id, substr(x.key, 1, 10) AS order_id, x.symbol,
  x.quantity / 1e9 AS quantity, x.price / 1e6 AS price, x.amount / 1e6 AS amount, x.seq,
  strftime('%Y-%m-%dT%H:%M:%SZ', x.ts / 1000000, 'unixepoch') AS executed_at
FROM executions x;
"""
