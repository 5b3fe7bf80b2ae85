"""The table of settings: every setting is one line, with its kind, its default and what it is."""

from __future__ import annotations

from algotrade.record import NamedTuple

SOURCES = ("auto", "sample", "polygon", "csv")
MODEL_KINDS = ("auto", "logit", "rf", "hgb", "blend")  # or the import path of an estimator
FORMATS = ("auto", "table", "tsv", "csv", "json", "jsonl")
SWITCHES = ("off", "on")
FEEDS = ("auto", "stream", "poll", "stored")
NUMBERS = ("usd", "shares", "percent", "count", "fraction", "ratio")  # kinds; others are text
NOTICES = ("fills", "refusals", "halts", "failures")


class Setting(NamedTuple):
    """One setting: its name, kind of value, default as text, what it is, the most it may be."""

    name: str
    kind: str
    default: str
    doc: str
    most: str = ""


SETTINGS = (
    Setting("source", "source", "auto", "market data: auto, sample, polygon or csv"),
    Setting("api_base", "url", "https://api.polygon.io", "where the Polygon API answers"),
    Setting("key_file", "text", "", "file with the API key, mode 0600"),
    Setting("rate", "count", "5", "API calls a minute, 0 for no pacing"),
    Setting("history_years", "count", "10", "years of history that a first fetch asks for"),
    Setting("format", "format", "auto", "output: auto, table, tsv, csv, json or jsonl"),
    Setting("broker", "broker", "simulated", "who executes: simulated, alpaca or a plug-in's name"),
    Setting("live", "switch", "off", "on: real money; trade also needs --live and a yes"),
    Setting("broker_base", "text", "", "another address of the broker, on loopback only"),
    Setting("paper_key_file", "text", "", "file of the paper account's key, mode 0600"),
    Setting("live_key_file", "text", "", "file of the live account's key, mode 0600"),
    Setting("cash_usd", "usd", "100000", "opening deposit of a simulated account"),
    Setting("train.model", "model", "auto", "auto, rf, logit, hgb, blend or package.module:Class"),
    Setting("train.params", "params", "", "parameters of the model, as name=value name=value"),
    Setting(
        "train.features", "text", "default", "default, seed, cross, package.module:build or a file"
    ),
    Setting("train.folds", "count", "5", "test blocks of the walk-forward", "100"),
    Setting(
        "train.window", "window", "expanding", "what trains: expanding, rolling (756) or rolling:N"
    ),
    Setting(
        "train.expires_days", "count", "91", "days after its newest bar a model is for, 0: ever"
    ),
    Setting("train.horizon", "count", "5", "sessions that the label looks ahead", "252"),
    Setting("train.threshold", "fraction", "0.5", "prediction is 1 where p(up) is over it"),
    Setting("train.seed", "count", "7", "seed of everything random in training", "4294967295"),
    Setting("costs.commission_per_share_usd", "usd", "0.005", "commission a share"),
    Setting("costs.commission_per_trade_usd", "usd", "0", "commission a trade"),
    Setting("costs.commission_pct", "percent", "0", "commission as percent of the value", "10"),
    Setting("costs.commission_minimum_usd", "usd", "1", "least commission of a trade"),
    Setting("costs.slippage_bps", "count", "5", "slippage of a fill, against the trader", "1000"),
    Setting(
        "costs.volume_cap_pct",
        "percent",
        "10",
        "part of a bar's volume that orders may take",
        "100",
    ),
    Setting("risk.max_order_usd", "usd", "10000", "R05 value of one order"),
    Setting("risk.max_order_pct", "percent", "10", "R05 value of one order, of equity"),
    Setting("risk.max_order_shares", "shares", "500", "R06 shares of one order"),
    Setting("risk.price_collar_pct", "percent", "3", "R07 price against the last close"),
    Setting("risk.max_position_pct", "percent", "10", "R10 one position, of equity"),
    Setting("risk.max_gross_pct", "percent", "100", "R12 all positions, of equity"),
    Setting("risk.short", "switch", "off", "R13 short selling: on or off"),
    Setting("risk.max_stale_sessions", "count", "0", "R25 completed sessions without data"),
    Setting("risk.daily_loss_warn_pct", "percent", "1", "R18 loss that risk check tells"),
    Setting("risk.daily_loss_reduce_pct", "percent", "2", "R18 loss since the last session"),
    Setting("risk.daily_loss_halt_pct", "percent", "3", "R18 loss that halts trading"),
    Setting("risk.drawdown_warn_pct", "percent", "5", "R19 fall that risk check tells"),
    Setting("risk.drawdown_halt_pct", "percent", "10", "R19 fall from the peak that halts"),
    Setting("risk.weekly_loss_halt_pct", "percent", "5", "R20 loss of the week that halts"),
    Setting("risk.duplicate_seconds", "count", "60", "R04 how long an equal order is a duplicate"),
    Setting("risk.restricted", "symbols", "", "R09 symbols that are never bought: AAPL MSFT"),
    Setting("risk.allowed", "symbols", "", "R09 the only symbols that are bought; empty: all"),
    Setting("risk.min_price_usd", "usd", "1", "R09 least price of a share that is bought"),
    Setting("risk.max_unexecuted_pct", "percent", "150", "R14 all waiting orders, of equity"),
    Setting("risk.max_orders_minute", "count", "60", "R15 orders in 60 seconds"),
    Setting("risk.max_orders_day", "count", "200", "R15 orders on one day"),
    Setting("risk.max_symbol_orders_day", "count", "3", "R15 orders of one symbol on one day"),
    Setting("risk.rate_breaches_halt", "count", "3", "R15 refusals for rate in a day that halt"),
    Setting("risk.max_strategy_orders_day", "count", "100", "R16 orders of a strategy on one day"),
    Setting("risk.max_rejects", "count", "2", "R17 rejects in a row that do not halt"),
    Setting("risk.max_losing_exits", "count", "6", "R21 losing exits in a row in one session"),
    Setting("risk.cooldown_sessions", "count", "0", "R21 sessions between exit and entry"),
    Setting("risk.max_volatility_pct", "percent", "80", "R22 volatility of a symbol, a year"),
    Setting("risk.max_volatility_ratio", "ratio", "3", "R22 that of 5 days over that of 60"),
    Setting("risk.max_var_pct", "percent", "3", "R23 value at risk of one day, 95%"),
    Setting("risk.max_shortfall_pct", "percent", "4.5", "R23 expected shortfall of a day, 97.5%"),
    Setting("risk.max_order_adv_pct", "percent", "1", "R24 order, of mean daily volume"),
    Setting("risk.max_position_adv_pct", "percent", "5", "R24 position, of mean daily volume"),
    Setting("risk.max_clock_seconds", "count", "5", "R28 seconds the clock may go back, or be off"),
    Setting("risk.max_reconcile_minutes", "count", "15", "R03 age of the last reconciliation"),
    Setting("risk.max_model_days", "count", "91", "R30 days since the model was made"),
    Setting("risk.max_equal_predictions", "count", "19", "R31 bars with one and the same p(up)"),
    Setting("risk.min_free_mib", "count", "64", "R35 free space that the store needs, in MiB"),
    Setting("watch.feed", "feed", "auto", "current prices: auto, stream, poll or stored"),
    Setting("watch.stream", "text", "", "websocket, wss://HOST; empty: that of api_base"),
    Setting("watch.index", "text", "SPY", "symbol that stands for the market; empty: none"),
    Setting("watch.max_age_s", "count", "300", "M01 seconds without any price, market open"),
    Setting("watch.max_move_pct", "percent", "15", "M02 move of a holding since the last close"),
    Setting("watch.max_spread_pct", "percent", "0.5", "M03 spread of a holding"),
    Setting("watch.max_index_pct", "percent", "5", "M04 move of the index since the last close"),
    Setting("watch.max_range_pct", "percent", "5", "M05 range of a holding within 30 minutes"),
    Setting("watch.silence_minutes", "count", "15", "M06 minutes without a trade of a holding"),
    Setting("notify.command", "program", "", "program that is told; its message comes on stdin"),
    Setting(
        "notify.webhook_file", "text", "", "file with an https address that is told, mode 0600"
    ),
    Setting("notify.on", "notices", ",".join(NOTICES), "what is told"),
    Setting("notify.loopback", "switch", "off", "webhook on this machine, plain http too"),
    Setting("backup.keep", "count", "10", "backups that are kept in backups/, 0: all"),
)
