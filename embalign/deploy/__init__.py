"""The map in use: exported with its thresholds, loaded and checked."""

# The highest share of wrong outputs among the accepted that a threshold is certified for, at 95 % confidence.
RISK_TARGETS = (0.05, 0.10, 0.20)
