"""The rules of risk: one table that checks, settings, screens, documents and tests share."""

from __future__ import annotations

from algotrade.record import NamedTuple

BACKTEST, SIMULATED, LIVE = "backtest", "simulated", "live"  # kinds of accounts

REJECT, REDUCE, HALT = "X", "R", "H"  # refuses the order; from then on only reducing; stops

APPLIES = "applies"  # to a strictly reducing order, too
EXEMPT = "exempt"  # a strictly reducing order may pass it, but its value must be known
UNKNOWN_TOO = "exempt, unknown too"  # nobody is kept from getting out by missing data
IF_UNKNOWN = "exempt if unknown"  # what is known bounds a strictly reducing order, too

ACCOUNT, ORDER, BOOK, MODEL = "account", "order", "book", "model"  # what a rule looks at
ALL = (BACKTEST, SIMULATED, LIVE)
REAL = (SIMULATED, LIVE)


class Rule(NamedTuple):
    """One check.

    unit: usd (micro-dollars), shares (nano-shares), bps, hundredths, or a plain count of what it
    names. kind: REJECT, REDUCE or HALT. reducing: what it means for an order that only reduces a
    position. where: kinds of accounts that can have it, elsewhere it is n/a. scope: ORDER rules
    are n/a without an order, MODEL rules without a model, BOOK rules without market facts.
    field: of Limits, "" where nothing may be there. setting: of that field. told: one sentence.
    """

    id: str
    name: str
    unit: str
    kind: str
    reducing: str
    where: tuple[str, ...]
    scope: str
    field: str
    setting: str
    told: str

    @property
    def exempt(self) -> bool:
        """Tell whether a strictly reducing order may ever pass it."""
        return self.reducing != APPLIES


_ROWS: tuple[tuple[str, str, str, str, str, tuple[str, ...], str, str, str, str], ...] = (
    *(
        ("R01", "halts", "halts", REJECT, APPLIES, ALL, ACCOUNT, "", "",
         "ledger, file or environment says halted"),
        ("R01r", "reducing only", "states", REJECT, EXEMPT, ALL, ACCOUNT, "", "",
         "the account is REDUCING: only orders that strictly reduce a position pass"),
        ("R02", "unknown orders", "orders", REDUCE, EXEMPT, (LIVE,), ACCOUNT, "", "",
         "orders that the broker may or may not have; their own symbols stay blocked for all"),
        ("R03", "mismatches", "mismatches", HALT, APPLIES, (LIVE,), ACCOUNT, "", "",
         "shares or cents in which broker and ledger differ"),
        ("R03a", "reconciled ago", "minutes", REJECT, APPLIES, (LIVE,), ACCOUNT,
         "max_reconcile_minutes", "risk.max_reconcile_minutes",
         "age of the last comparison of broker and ledger"),
        ("R04", "duplicates", "orders", REJECT, APPLIES, REAL, ORDER, "", "risk.duplicate_seconds",
         "orders of the same symbol, side and size under another key within so many seconds"),
        ("R05", "order value", "usd", REJECT, EXEMPT, ALL, ORDER, "max_order_notional",
         "risk.max_order_usd", "value of the order at the worst price; also a part of equity"),
        ("R06", "order quantity", "shares", REJECT, EXEMPT, ALL, ORDER, "max_order_quantity",
         "risk.max_order_shares", "shares of the order"),
        ("R07", "price collar", "bps", REJECT, APPLIES, ALL, ORDER, "price_collar_bps",
         "risk.price_collar_pct", "price to trade at against the last close"),
        ("R07l", "limit price", "bps", REJECT, APPLIES, ALL, ORDER, "price_collar_bps",
         "risk.price_collar_pct",
         "limit price on the costly side of the last close, or of the stop of a stop-limit"),
        ("R08", "order form", "faults", REJECT, APPLIES, ALL, ORDER, "", "",
         "size, prices and keys that no market takes; for live orders also off the tick"),
        ("R09", "restricted", "lists", REJECT, EXEMPT, ALL, ORDER, "", "risk.restricted",
         "lists that keep the symbol out: risk.restricted has it, or risk.allowed does not"),
        ("R09p", "price too low", "usd", REJECT, EXEMPT, ALL, ORDER, "", "risk.min_price_usd",
         "how far the price lies under the least that is traded"),
        ("R10", "position", "bps", REJECT, EXEMPT, ALL, ACCOUNT, "max_position_bps",
         "risk.max_position_pct", "the position it leads to, of equity"),
        ("R11", "sector", "bps", REJECT, EXEMPT, (), ORDER, "", "",
         "one sector, of equity: off until the data name sectors"),
        ("R12", "gross exposure", "bps", REJECT, EXEMPT, ALL, ACCOUNT, "max_gross_bps",
         "risk.max_gross_pct", "all positions without sign, of equity; bounds leverage and net"),
        ("R12c", "cash needed", "usd", REJECT, EXEMPT, ALL, ACCOUNT, "", "",
         "cash that it and waiting buys need, of the cash there is"),
        ("R13", "sold short", "shares", REJECT, APPLIES, ALL, ACCOUNT, "", "risk.short",
         "shares sold that are not held; n/a where selling short is allowed"),
        ("R14", "unexecuted", "bps", REJECT, EXEMPT, ALL, ACCOUNT, "max_unexecuted_bps",
         "risk.max_unexecuted_pct", "value of it and of all waiting orders, of equity"),
        ("R15", "orders a minute", "orders", REJECT, APPLIES, REAL, ACCOUNT, "max_orders_minute",
         "risk.max_orders_minute", "orders of the account in 60 seconds, this one among them"),
        ("R15d", "orders a day", "orders", REJECT, EXEMPT, REAL, ACCOUNT, "max_orders_day",
         "risk.max_orders_day", "orders of the account on one day, this one among them"),
        ("R15s", "symbol's orders", "orders", REJECT, EXEMPT, REAL, ORDER, "max_symbol_orders_day",
         "risk.max_symbol_orders_day", "orders of the symbol on one day, this one among them"),
        ("R16", "strategy orders", "orders", HALT, EXEMPT, REAL, ORDER,
         "max_strategy_orders_day", "risk.max_strategy_orders_day",
         "orders of one strategy on one day, then a person looks"),
        ("R17", "rejects in row", "orders", HALT, EXEMPT, (LIVE,), ACCOUNT, "max_rejects",
         "risk.max_rejects", "newest orders of the account that the broker rejected"),
        ("R18", "daily loss", "bps", REDUCE, EXEMPT, ALL, ACCOUNT, "daily_loss_reduce_bps",
         "risk.daily_loss_reduce_pct", "loss since the close of the session before"),
        ("R19", "drawdown", "bps", HALT, EXEMPT, ALL, ACCOUNT, "drawdown_halt_bps",
         "risk.drawdown_halt_pct", "fall from the highest profit"),
        ("R20", "weekly loss", "bps", HALT, EXEMPT, ALL, ACCOUNT, "weekly_loss_halt_bps",
         "risk.weekly_loss_halt_pct", "loss since the last session of the week before"),
    ),
    *(
        ("R21", "losing exits", "exits", REJECT, EXEMPT, ALL, ORDER, "max_losing_exits",
         "risk.max_losing_exits", "positions ended with a loss in a row in the session"),
        ("R21c", "cooldown", "sessions", REJECT, EXEMPT, ALL, ORDER, "", "risk.cooldown_sessions",
         "sessions to wait still after the symbol's position ended"),
        ("R22", "volatility", "bps", REJECT, UNKNOWN_TOO, ALL, ORDER, "max_volatility_bps",
         "risk.max_volatility_pct", "standard deviation of 20 daily returns, a year"),
        ("R22r", "volatility rise", "hundredths", REJECT, UNKNOWN_TOO, ALL, ORDER,
         "max_volatility_ratio", "risk.max_volatility_ratio", "that of 5 returns to that of 60"),
        ("R23", "VaR 95%", "bps", REJECT, UNKNOWN_TOO, ALL, BOOK, "max_var_bps",
         "risk.max_var_pct", "loss of one day in twenty, of equity, by the book as it would be"),
        ("R23e", "shortfall 97.5%", "bps", REJECT, UNKNOWN_TOO, ALL, BOOK,
         "max_shortfall_bps", "risk.max_shortfall_pct",
         "mean loss of the worst day in forty, of equity"),
        ("R24", "order/volume", "bps", REJECT, IF_UNKNOWN, ALL, ORDER, "max_order_adv_bps",
         "risk.max_order_adv_pct", "order of the mean volume of 20 days; reducing, five times it"),
        ("R24p", "position/volume", "bps", REJECT, UNKNOWN_TOO, ALL, ORDER,
         "max_position_adv_bps", "risk.max_position_adv_pct", "position of that volume"),
        ("R24s", "spread", "bps", REJECT, UNKNOWN_TOO, (), ORDER, "", "",
         "bid to ask: off until quotes are kept with the decision"),
        ("R25", "stale sessions", "sessions", REJECT, UNKNOWN_TOO, ALL, ACCOUNT,
         "max_stale_sessions", "risk.max_stale_sessions", "completed sessions without data"),
        ("R26", "faulty bars", "bars", REJECT, UNKNOWN_TOO, ALL, ORDER, "", "",
         "of the last 20: impossible prices, gaps over 7 days, jumps over 20% without a split"),
        ("R27", "market closed", "markets", REJECT, APPLIES, (LIVE,), ORDER, "", "",
         "outside the regular session, or halted; unknown counts as closed"),
        ("R28", "clock gone back", "seconds", REJECT, UNKNOWN_TOO, REAL, ACCOUNT,
         "max_clock_seconds", "risk.max_clock_seconds", "now before the newest ledger entry"),
        ("R28b", "broker clock", "seconds", REJECT, UNKNOWN_TOO, (LIVE,), ACCOUNT,
         "max_clock_seconds", "risk.max_clock_seconds",
         "difference to the broker's clock when broker and ledger were last compared"),
        ("R29", "model unfit", "faults", REJECT, UNKNOWN_TOO, REAL, MODEL, "", "",
         "symbol or timeframe that the model was not trained on; changed files never load"),
        ("R30", "model age", "days", REJECT, UNKNOWN_TOO, REAL, MODEL, "max_model_days",
         "risk.max_model_days", "days since the model was made"),
        ("R31", "prediction", "faults", REJECT, UNKNOWN_TOO, REAL, MODEL, "", "",
         "p(up) that is no number between 0 and 1"),
        ("R31c", "equal forecasts", "bars", REJECT, UNKNOWN_TOO, REAL, MODEL,
         "max_equal_predictions", "risk.max_equal_predictions",
         "newest bars of the symbol with one and the same p(up)"),
        ("R33", "opposite orders", "orders", REJECT, APPLIES, ALL, ORDER, "", "",
         "waiting orders of the symbol on the other side"),
        ("R34", "environment", "mismatches", REJECT, APPLIES, (LIVE,), ACCOUNT, "", "",
         "keys, hosts and switches that do not belong together"),
        ("R35", "disk short of", "MiB", REJECT, UNKNOWN_TOO, REAL, ACCOUNT, "",
         "risk.min_free_mib", "what is missing of the free space that the store needs"),
        ("R35r", "reserve missing", "files", REJECT, UNKNOWN_TOO, REAL, ACCOUNT, "", "",
         "the file that is freed to book what was sent when the disk is full"),
    ),
)  # fmt: skip

RULES = tuple(Rule(*row) for row in _ROWS)
RULE = {rule.id: rule for rule in RULES}

# the checks that every Limits asks; the others are asked where `Limits.complete`
FIRST_IDS = (
    *("R01", "R05", "R06", "R07", "R10", "R12", "R12c", "R13", "R18", "R19", "R25"),
)  # fmt: skip
FIRST = tuple(RULE[rule_id] for rule_id in FIRST_IDS)
LATER = tuple(rule for rule in RULES if rule.id not in FIRST_IDS)

# no reason lets an order pass these, nor what halts
NEVER_OVERRIDDEN = frozenset(
    {"R01", "R01r", "R02", "R03", "R03a", "R08", "R13", "R29", "R34"}
    | {rule.id for rule in RULES if rule.kind == HALT}
)  # fmt: skip
MAY_BE_OVERRIDDEN = tuple(
    rule.id for rule in RULES if rule.where and rule.id not in NEVER_OVERRIDDEN
)

# fields of Limits and the settings they are read from, where no rule names them
MORE_FIELDS = {
    "max_order_equity_bps": "risk.max_order_pct",
    "daily_loss_warn_bps": "risk.daily_loss_warn_pct",
    "daily_loss_halt_bps": "risk.daily_loss_halt_pct",
    "drawdown_warn_bps": "risk.drawdown_warn_pct",
    "rate_breaches_halt": "risk.rate_breaches_halt",
    "cooldown_sessions": "risk.cooldown_sessions",
    "duplicate_seconds": "risk.duplicate_seconds",
    "min_price": "risk.min_price_usd",
    "min_free_mib": "risk.min_free_mib",
}
FIELD_SETTINGS = {rule.field: rule.setting for rule in RULES if rule.field} | MORE_FIELDS


def why_not_asked(
    rule: Rule, kind: str, *, has_order: bool, has_model: bool, complete: bool
) -> str:
    """Tell why a rule was not asked of a decision in an account of a kind.

    complete: the decision was made under limits that ask every rule.
    """
    if not rule.where:
        return rule.told.partition(": ")[2]
    if kind not in rule.where:
        return f"not of a {kind} account"
    if rule.id not in FIRST_IDS and not complete:
        return "these limits ask the first rules only"
    if rule.id == "R13":
        return "selling short is allowed"
    if rule.scope == MODEL and has_order and not has_model:
        return "no model spoke"
    return "not asked when this was decided" if has_order else "no order was asked about"
