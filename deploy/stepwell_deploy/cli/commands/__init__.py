"""The commands of `stepwell`, one module for each subject."""
