"""The database: one file, one writer, plain SQL, one module per family of tables."""
