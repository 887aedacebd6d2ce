"""The errors of the ingestor.

StepwellIngestorError
└── PlanError    a committed plan names offsets that the topic no longer holds
"""

from __future__ import annotations


class StepwellIngestorError(Exception):
    """Base of every error that the ingestor raises of its own."""


class PlanError(StepwellIngestorError):
    """A committed plan names offsets that the topic no longer holds: Kafka's retention is too short."""
