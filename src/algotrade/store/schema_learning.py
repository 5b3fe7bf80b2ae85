"""The schema of learning: trials, states of models, what shadows say."""

from __future__ import annotations

APPEND_ONLY_LEARNING: dict[str, str] = {
    "trials": "trial_id = NEW.trial_id",
    "holdouts": "holdout_id = NEW.holdout_id",
    "model_states": "state_id = NEW.state_id",
    "shadows": "shadow_id = NEW.shadow_id",
    "shadow_words": "shadow = NEW.shadow AND used = NEW.used AND symbol = NEW.symbol"
    " AND bar_ts = NEW.bar_ts",
    "model_drift": "model_id = NEW.model_id AND symbol = NEW.symbol AND bar_ts = NEW.bar_ts",
}

TRIALS = """
CREATE TABLE trials (
  trial_id INTEGER PRIMARY KEY,
  plan TEXT NOT NULL,
  source TEXT NOT NULL,
  symbols TEXT NOT NULL,
  what TEXT NOT NULL,
  first_ts INTEGER NOT NULL,
  last_ts INTEGER NOT NULL,
  sharpe REAL,
  model_id TEXT,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE holdouts (
  holdout_id INTEGER PRIMARY KEY,
  plan TEXT NOT NULL,
  source TEXT NOT NULL,
  symbols TEXT NOT NULL,
  first_ts INTEGER NOT NULL,
  last_ts INTEGER NOT NULL,
  figures TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE VIEW v_trials AS
SELECT plan, source, symbols, what, sharpe, model_id,
  strftime('%Y-%m-%dT%H:%M:%SZ', first_ts / 1000000, 'unixepoch') AS first_test,
  strftime('%Y-%m-%dT%H:%M:%SZ', last_ts / 1000000, 'unixepoch') AS last_test,
  strftime('%Y-%m-%dT%H:%M:%SZ', created_at / 1000000, 'unixepoch') AS created_at
FROM trials;
"""

MODELS = """
CREATE TABLE model_states (
  state_id INTEGER PRIMARY KEY,
  model_id TEXT NOT NULL,
  source TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('promoted', 'retired', 'removed')),
  at INTEGER NOT NULL,
  decided_by TEXT NOT NULL CHECK (decided_by IN ('gate', 'hand', 'refit')),
  reason TEXT NOT NULL,
  numbers TEXT NOT NULL
) STRICT;

CREATE TABLE shadows (
  shadow_id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  model_id TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;

CREATE TABLE shadow_words (
  shadow TEXT NOT NULL,
  used TEXT NOT NULL,
  symbol TEXT NOT NULL,
  bar_ts INTEGER NOT NULL,
  said_at INTEGER NOT NULL,
  shadow_p REAL NOT NULL,
  used_p REAL NOT NULL,
  PRIMARY KEY (shadow, used, symbol, bar_ts)
) STRICT, WITHOUT ROWID;

CREATE TABLE model_drift (
  model_id TEXT NOT NULL,
  symbol TEXT NOT NULL,
  bar_ts INTEGER NOT NULL,
  noted_at INTEGER NOT NULL,
  indices TEXT NOT NULL,
  PRIMARY KEY (model_id, symbol, bar_ts)
) STRICT, WITHOUT ROWID;

CREATE VIEW v_model_states AS
SELECT model_id, source, state, decided_by, reason,
  strftime('%Y-%m-%dT%H:%M:%SZ', at / 1000000, 'unixepoch') AS at
FROM model_states;
"""

LEARNING = TRIALS + MODELS
