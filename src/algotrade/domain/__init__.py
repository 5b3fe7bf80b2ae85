"""Words and arithmetic of trading: standard library only, no I/O, no clock, no floats for money."""
