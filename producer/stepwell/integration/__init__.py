"""Callbacks for libraries that have none of their own for wandb, with the names that wandb gives them."""
