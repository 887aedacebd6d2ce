"""Checks of the documents: the words that Vale's rules name, and the links between the files of the repository."""
