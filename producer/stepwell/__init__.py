"""Stepwell's SDK: log the steps of a training run."""
