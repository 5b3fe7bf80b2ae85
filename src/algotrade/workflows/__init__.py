"""One walk per verb: gather, call the rooms, return frozen results; no printing here."""
