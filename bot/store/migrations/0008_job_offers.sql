-- A job as it was shown to a person with what it will take: what a press of its button starts, whenever that comes.

CREATE TABLE job_offers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at REAL NOT NULL,
    kind       TEXT NOT NULL,
    parameters TEXT NOT NULL,                   -- JSON object
    job_id     INTEGER REFERENCES jobs (id)     -- the press that counted
) STRICT;
