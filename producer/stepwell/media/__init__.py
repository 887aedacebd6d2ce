"""Media data types: images, audio, video, tables, documents and figures, stored as files."""
