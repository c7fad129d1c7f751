"""Tool calls: the formats that models write them in, the grammars of those, and calls read from an answer."""
