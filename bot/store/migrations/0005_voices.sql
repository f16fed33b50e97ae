-- Trainings at any kind of service, voices that can be retired and compared, what people did, and money allowed beside
-- the budget.

ALTER TABLE trainings ADD COLUMN kind TEXT NOT NULL DEFAULT 'fine_tuned';  -- of the voice that comes of it
ALTER TABLE trainings ADD COLUMN suffix TEXT NOT NULL DEFAULT '';
ALTER TABLE trainings ADD COLUMN activate INTEGER NOT NULL DEFAULT 1 CHECK (activate IN (0, 1));
ALTER TABLE trainings ADD COLUMN held_out_file_id TEXT;
ALTER TABLE trainings ADD COLUMN steps INTEGER;
ALTER TABLE trainings ADD COLUMN held_out_curve TEXT NOT NULL DEFAULT '[]';  -- JSON list of [step, loss]
ALTER TABLE trainings ADD COLUMN estimated_finish REAL;
ALTER TABLE trainings ADD COLUMN events TEXT NOT NULL DEFAULT '[]';          -- JSON list of {"at", "text"}
ALTER TABLE trainings ADD COLUMN failure TEXT;                               -- a kind of failure, beside its sentence
ALTER TABLE trainings ADD COLUMN cost REAL;                                  -- as the service told it
ALTER TABLE trainings ADD COLUMN files_deleted INTEGER NOT NULL DEFAULT 0 CHECK (files_deleted IN (0, 1));
CREATE INDEX trainings_by_job ON trainings (job_id);

CREATE TABLE training_offers (
    -- A training as it was shown before it began: what a press of its button means, whenever that comes.
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at REAL NOT NULL,
    kind       TEXT NOT NULL,
    dataset_id INTEGER NOT NULL REFERENCES datasets (id),
    base_url   TEXT NOT NULL,
    model      TEXT NOT NULL,
    epochs     INTEGER NOT NULL,
    suffix     TEXT NOT NULL,
    activate   INTEGER NOT NULL CHECK (activate IN (0, 1)),
    cost       REAL NOT NULL,                   -- the estimate that was shown
    job_id     INTEGER REFERENCES jobs (id)     -- the press that counted
) STRICT;

ALTER TABLE voices ADD COLUMN settings TEXT NOT NULL DEFAULT '[]';  -- JSON list of [label, value]: what it was made with
ALTER TABLE voices ADD COLUMN retired_at REAL;
ALTER TABLE voices ADD COLUMN shutdown_date TEXT;                   -- ISO; what the service has announced of its model
ALTER TABLE voices ADD COLUMN looked_up_at REAL;                    -- when the service was last asked for that
ALTER TABLE voices ADD COLUMN warned_days INTEGER;                  -- so many days before it the owner was told last
CREATE INDEX drafts_by_voice ON drafts (voice_id, state);

CREATE TABLE audit (
    -- What people did that changes what the bot does, spends or deletes: who, when, to what, before and after.
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        REAL NOT NULL,
    user_id   INTEGER NOT NULL,
    user_name TEXT NOT NULL,
    action    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    before    TEXT NOT NULL DEFAULT '',
    after     TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX audit_by_time ON audit (at);

-- What a job lacked that would have passed the budget; NULL where it ended otherwise.
ALTER TABLE jobs ADD COLUMN missing_dollars REAL;

CREATE TABLE allowances (
    -- Dollars that the owner allowed beside the monthly limit, in the month of `at`.
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        REAL NOT NULL,
    user_id   INTEGER NOT NULL,
    user_name TEXT NOT NULL,
    dollars   REAL NOT NULL
) STRICT;

CREATE TABLE comparisons (
    -- Two voices that write to the same prompts, judged blind.
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id     INTEGER NOT NULL UNIQUE REFERENCES jobs (id),
    one_id     INTEGER NOT NULL REFERENCES voices (id),
    other_id   INTEGER NOT NULL REFERENCES voices (id),
    created_at REAL NOT NULL
) STRICT;

CREATE TABLE comparison_rounds (
    -- One prompt of a comparison. A text is stored the moment it is there: it was paid for.
    comparison_id INTEGER NOT NULL REFERENCES comparisons (id),
    number        INTEGER NOT NULL,
    prompt        TEXT NOT NULL,
    one_first     INTEGER NOT NULL CHECK (one_first IN (0, 1)),  -- which text is shown as A, by chance
    one_text      TEXT,
    other_text    TEXT,
    channel_id    INTEGER,
    message_id    INTEGER,
    verdict       TEXT CHECK (verdict IN ('one', 'other', 'neither')),
    judged_at     REAL,
    judge_id      INTEGER,
    judge         TEXT,
    PRIMARY KEY (comparison_id, number)
) STRICT;
