"""The table of settings: every setting is one line, with its kind, its default and what it is."""

from __future__ import annotations

from algotrade.record import NamedTuple

SOURCES = ("auto", "sample", "polygon", "csv")
MODEL_KINDS = ("auto", "logit", "rf", "hgb", "blend")
FORMATS = ("auto", "table", "tsv", "csv", "json", "jsonl")
SWITCHES = ("off", "on")


class Setting(NamedTuple):
    """One setting: its name, kind of value, default as text, and what it is."""

    name: str
    kind: str
    default: str
    doc: str


SETTINGS = (
    Setting("source", "source", "auto", "market data: auto, sample, polygon or csv"),
    Setting("api_base", "url", "https://api.polygon.io", "where the Polygon API answers"),
    Setting("key_file", "text", "", "file with the API key, mode 0600"),
    Setting("rate", "count", "5", "API calls a minute, 0 for no pacing"),
    Setting("history_years", "count", "10", "years of history that a first fetch asks for"),
    Setting("format", "format", "auto", "output: auto, table, tsv, csv, json or jsonl"),
    Setting("cash_usd", "usd", "100000", "opening deposit of a simulated account"),
    Setting("train.model", "model", "auto", "model: auto, rf, logit, hgb or blend"),
    Setting("train.horizon", "count", "5", "sessions that the label looks ahead"),
    Setting("train.threshold", "fraction", "0.5", "prediction is 1 where p(up) is over it"),
    Setting("train.seed", "count", "7", "seed of everything random in training"),
    Setting("costs.commission_per_share_usd", "usd", "0.005", "commission a share"),
    Setting("costs.commission_per_trade_usd", "usd", "0", "commission a trade"),
    Setting("costs.commission_pct", "percent", "0", "commission as percent of the value"),
    Setting("costs.commission_minimum_usd", "usd", "1", "least commission of a trade"),
    Setting("costs.slippage_bps", "count", "5", "slippage of every fill, against the trader"),
    Setting("costs.volume_cap_pct", "percent", "10", "part of a bar's volume that orders may take"),
    Setting("risk.max_order_usd", "usd", "10000", "R05 value of one order"),
    Setting("risk.max_order_pct", "percent", "10", "R05 value of one order, of equity"),
    Setting("risk.max_order_shares", "shares", "500", "R06 shares of one order"),
    Setting("risk.price_collar_pct", "percent", "3", "R07 price against the last close"),
    Setting("risk.max_position_pct", "percent", "10", "R10 one position, of equity"),
    Setting("risk.max_gross_pct", "percent", "100", "R12 all positions, of equity"),
    Setting("risk.short", "switch", "off", "R13 short selling: on or off"),
    Setting("risk.max_stale_sessions", "count", "0", "R25 completed sessions without data"),
    Setting("risk.daily_loss_reduce_pct", "percent", "2", "R18 loss since the last session"),
    Setting("risk.daily_loss_halt_pct", "percent", "3", "R18 loss that halts trading"),
    Setting("risk.drawdown_halt_pct", "percent", "10", "R19 fall from the peak that halts"),
)
