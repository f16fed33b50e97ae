-- A change of an option as it was shown to a person: what a press of *Apply* puts into force, whenever that comes.

CREATE TABLE option_offers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at REAL NOT NULL,
    name       TEXT NOT NULL,                   -- dotted, never a secret's
    value      TEXT NOT NULL,                   -- JSON: as somebody typed it, or as TOML writes the default
    before     TEXT NOT NULL,                   -- as config.toml writes it
    outcome    TEXT CHECK (outcome IN ('applied', 'cancelled'))
) STRICT;
