"""Filters of runs: the filter language, wandb's dicts, and their translation to SQL."""
