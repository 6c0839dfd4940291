"""Scores with intervals beside baselines, breakdowns by column, and `results.json`. Between inference and training."""
