"""Retention by project: policies, the steps from which rows are kept, and the rows that are due to go."""
