"""Trading: the one decision, the one loop, risk checks and brokers."""
