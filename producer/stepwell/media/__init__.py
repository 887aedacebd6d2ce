"""Data types that are files: images, audio, video, documents, and what is drawn of them."""
