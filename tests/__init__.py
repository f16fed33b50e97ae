"""The proof. `python -m tests` runs it."""
