"""Portfolio: what the ledger says is held, worth and earned."""
