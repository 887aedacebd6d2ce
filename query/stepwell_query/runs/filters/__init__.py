"""Which runs of a project are meant: a small language, wandb's dicts, and the SQL that both become."""
