"""Stand in for the applications of the book: catalog and webapp."""
