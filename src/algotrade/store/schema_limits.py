"""The schema of states and limits, a part of migration 6: levels of halts, changes, units."""

from __future__ import annotations

APPEND_ONLY_LIMITS = {"limit_changes": "change_id = NEW.change_id"}

# a halt of level reducing lets strictly reducing orders pass
LIMITS = """
ALTER TABLE halts ADD COLUMN level TEXT NOT NULL DEFAULT 'halted'
  CHECK (level IN ('reducing', 'halted'));

CREATE TABLE limit_changes (
  change_id INTEGER PRIMARY KEY,
  ts INTEGER NOT NULL,
  name TEXT NOT NULL,
  was TEXT NOT NULL,
  became TEXT NOT NULL,
  raised INTEGER NOT NULL CHECK (raised IN (0, 1)),
  reason TEXT NOT NULL
) STRICT;

CREATE INDEX orders_by_time ON orders (account, placed_at);
CREATE INDEX rate_refusals ON decisions (account, decided_at)
  WHERE instr(code, 'R04') > 0 OR instr(code, 'R15') > 0;

CREATE VIEW v_limit_changes AS
SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ts / 1000000, 'unixepoch') AS changed_at, name, was, became,
  raised, reason
FROM limit_changes;

DROP VIEW v_checks;
CREATE VIEW v_checks AS
SELECT c.decision_id, c.check_id, c.unit, c.value / c.scale AS value, c.bound / c.scale AS bound,
  (c.bound - c.value) / c.scale AS headroom,
  CASE c.letter WHEN 'p' THEN 'pass' WHEN 'f' THEN 'fail' WHEN 'e' THEN 'exempt'
    WHEN 'o' THEN 'overridden' ELSE 'n/a' END AS status
FROM (
  SELECT d.decision_id, k.value AS check_id, v.value AS value, b.value AS bound,
    substr((SELECT value FROM json_each(d.body, '$[3][3]')), k.key + 1, 1) AS letter,
    CASE WHEN k.value IN ('R05', 'R09p', 'R12c') THEN 'usd'
      WHEN k.value IN ('R06', 'R13') THEN 'shares'
      WHEN k.value = 'R01' THEN 'halts' WHEN k.value = 'R01r' THEN 'states'
      WHEN k.value IN ('R02', 'R04', 'R15', 'R15d', 'R15s', 'R16', 'R17', 'R33') THEN 'orders'
      WHEN k.value IN ('R03', 'R34') THEN 'mismatches' WHEN k.value = 'R03a' THEN 'minutes'
      WHEN k.value IN ('R08', 'R29', 'R31') THEN 'faults' WHEN k.value = 'R09' THEN 'lists'
      WHEN k.value = 'R21' THEN 'exits' WHEN k.value IN ('R21c', 'R25') THEN 'sessions'
      WHEN k.value = 'R22r' THEN 'hundredths' WHEN k.value IN ('R26', 'R31c') THEN 'bars'
      WHEN k.value = 'R27' THEN 'markets' WHEN k.value IN ('R28', 'R28b') THEN 'seconds'
      WHEN k.value = 'R30' THEN 'days' WHEN k.value = 'R35' THEN 'MiB'
      WHEN k.value = 'R35r' THEN 'files' ELSE 'bps' END AS unit,
    CASE WHEN k.value IN ('R05', 'R09p', 'R12c') THEN 1e6 WHEN k.value IN ('R06', 'R13') THEN 1e9
      ELSE 1 END AS scale
  FROM decisions d, json_each(d.body, '$[3][0]') k
    JOIN json_each(d.body, '$[3][1]') v ON v.key = k.key
    JOIN json_each(d.body, '$[3][2]') b ON b.key = k.key
  WHERE d.grounds IS NOT NULL
) c;
"""
