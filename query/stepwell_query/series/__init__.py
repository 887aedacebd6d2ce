"""Views of series: targets, plans, bucket reads and answers."""
