-- What a screening found under the thresholds in force, what people decided about it, and batches at a service.

CREATE TABLE screening_decisions (
    -- Every word of a person about a screening; of several about the same thing the newest counts.
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id  INTEGER NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    at          REAL NOT NULL,
    user_id     INTEGER NOT NULL,
    user_name   TEXT NOT NULL,
    what        TEXT NOT NULL CHECK (what IN ('keep', 'drop', 'threshold', 'skip')),
    position    INTEGER,                        -- the example; NULL: a whole category, or the dataset
    category    TEXT,                           -- NULL with a threshold: that of every category
    value       REAL,                           -- the threshold; NULL: the service's own flag again
    -- The decision about the same text in an earlier dataset that this one repeats.
    carried_from INTEGER REFERENCES screening_decisions (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX screening_decisions_by_dataset ON screening_decisions (dataset_id, id);

CREATE TABLE screening_flags (
    -- The examples that are flagged under the dataset's thresholds, decided about or not.
    dataset_id INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    scores     TEXT NOT NULL,                   -- JSON object: category to score, null where the service gave none
    PRIMARY KEY (dataset_id, position),
    FOREIGN KEY (dataset_id, position) REFERENCES examples (dataset_id, position) ON DELETE CASCADE
) STRICT;
INSERT INTO screening_flags (dataset_id, position, scores)
    SELECT dataset_id, position, '{"' || replace(replace(set_aside, '"', ''), ', ', '":null,"') || '":null}'
    FROM examples WHERE set_aside IS NOT NULL AND instr(set_aside, '\') = 0;

CREATE TABLE screening_batches (
    -- One batch of requests at a service. Each id is stored the moment it is known, so that a kill repeats nothing.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id        INTEGER NOT NULL REFERENCES jobs (id),
    base_url      TEXT NOT NULL,
    model         TEXT NOT NULL,
    name          TEXT NOT NULL UNIQUE,         -- of its file, and its marker at the service
    hashes        TEXT NOT NULL,                -- JSON list: which texts it is about; emptied once they are judged
    state         TEXT NOT NULL,                -- ours: planned, uploaded, running, cancelling, ended, read, done
    input_file    TEXT,
    batch_id      TEXT,
    service_state TEXT,
    completed     INTEGER NOT NULL DEFAULT 0,   -- requests, as the service counts them
    failed        INTEGER NOT NULL DEFAULT 0,
    output_file   TEXT,
    error_file    TEXT,
    error         TEXT,
    created_at    REAL NOT NULL
) STRICT;
CREATE INDEX screening_batches_by_job ON screening_batches (job_id);
