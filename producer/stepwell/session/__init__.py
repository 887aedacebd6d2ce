"""A run in this process: init, properties, resume and receipt."""
