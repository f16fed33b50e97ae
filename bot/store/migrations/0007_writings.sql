-- Texts that were paid for and are no draft yet: the guards look at each, and may have it written anew.

CREATE TABLE writings (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    turn          TEXT NOT NULL,                -- whose text it is: "job 5, slot 3", or "draft 7, press 12" for one written anew
    created_at    REAL NOT NULL,
    prompt        TEXT NOT NULL,
    parent        TEXT,                         -- JSON of the reblogged post
    note          TEXT NOT NULL,
    seed          INTEGER NOT NULL,
    text          TEXT NOT NULL,
    cut_off       INTEGER NOT NULL CHECK (cut_off IN (0, 1)),
    cost          REAL NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL
) STRICT;
CREATE INDEX writings_by_turn ON writings (turn, id);
