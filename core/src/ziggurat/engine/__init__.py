"""The engine: reads and writes over a stack of tiers."""
