"""The HTTP service that reads runs, series and history back."""
