"""Market data: where bars, splits and dividends come from, and whether they can be believed."""
