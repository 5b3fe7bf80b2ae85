"""Brokers: the protocol, Alpaca, and plug-ins by entry point."""
