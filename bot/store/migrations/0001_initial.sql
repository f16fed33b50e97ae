-- The first shape of the database. Ids that come from services are text; times are unix seconds (UTC);
-- money is US dollars; lists and objects are JSON.

CREATE TABLE facts (
    -- Small things to remember between runs, such as the fingerprint of the commands last registered.
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE blogs (
    uuid            TEXT PRIMARY KEY,
    name            TEXT NOT NULL,              -- a label: names change, and can be taken by somebody else
    title           TEXT NOT NULL DEFAULT '',
    url             TEXT NOT NULL DEFAULT '',
    post_count      INTEGER,                    -- Tumblr's estimate
    -- Where the download stands. The first pass goes from the newest post to the oldest; `cursor` is the
    -- `before` of its next page. Once `complete`, later runs fetch what is newer than `newest_timestamp`.
    cursor          INTEGER,
    cursor_offset   INTEGER NOT NULL DEFAULT 0, -- pages already read inside the one second the cursor stands on
    complete        INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
    newest_timestamp INTEGER,
    pass_newest_timestamp INTEGER,              -- the newest seen in the pass under way; becomes newest_timestamp when it ends
    updated_at      REAL NOT NULL
) STRICT;
CREATE INDEX blogs_by_name ON blogs (name);

CREATE TABLE posts (
    blog_uuid  TEXT NOT NULL REFERENCES blogs (uuid) ON DELETE CASCADE,
    id         TEXT NOT NULL,
    timestamp  INTEGER NOT NULL,
    url        TEXT NOT NULL,
    text       TEXT NOT NULL,
    tags       TEXT NOT NULL,                   -- JSON list
    rejection  TEXT,                            -- NULL: a valid example post
    raw        BLOB NOT NULL,                   -- the JSON as it came
    seen_at    REAL NOT NULL,
    PRIMARY KEY (blog_uuid, id)
) STRICT;
CREATE INDEX posts_by_time ON posts (blog_uuid, timestamp DESC, id DESC);
CREATE INDEX valid_posts_by_time ON posts (blog_uuid, timestamp DESC, id DESC) WHERE rejection IS NULL;

CREATE TABLE datasets (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at        REAL NOT NULL,
    digest            TEXT NOT NULL,            -- of the examples and messages: the same again is no new dataset
    developer_message TEXT NOT NULL,
    user_message      TEXT NOT NULL,
    settings          TEXT NOT NULL,            -- JSON: the filters it was made with
    screened_with     TEXT,                     -- the moderation model, once /moderate is done
    screened_at       REAL
) STRICT;

CREATE TABLE examples (
    dataset_id  INTEGER NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    user        TEXT NOT NULL,
    assistant   TEXT NOT NULL,
    blog_uuid   TEXT,                           -- both NULL for a custom prompt
    post_id     TEXT,
    tokens      INTEGER NOT NULL,
    held_out    INTEGER NOT NULL DEFAULT 0 CHECK (held_out IN (0, 1)),
    set_aside   TEXT,                           -- why moderation took it out of training; NULL: it is in
    PRIMARY KEY (dataset_id, position)
) STRICT;

CREATE TABLE judgements (
    -- A text judged once by a model is not sent again.
    content_hash TEXT NOT NULL,                 -- SHA-256 of the text, hex
    model        TEXT NOT NULL,
    flagged      INTEGER NOT NULL CHECK (flagged IN (0, 1)),
    categories   TEXT NOT NULL,                 -- JSON list of the flagged ones
    scores       TEXT NOT NULL,                 -- JSON object
    judged_at    REAL NOT NULL,
    PRIMARY KEY (content_hash, model)
) STRICT;

CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL,
    parameters   TEXT NOT NULL,                 -- JSON object
    state        TEXT NOT NULL CHECK (state IN ('running', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    progress     TEXT,                          -- JSON of the last Progress
    error        TEXT,                          -- the sentence and the next step, for people
    requested_by TEXT NOT NULL,                 -- a name to show; the id stands in requester_id
    requester_id INTEGER,
    channel_id   INTEGER,
    message_id   INTEGER,
    message_posted_at REAL,
    message_final INTEGER NOT NULL DEFAULT 0 CHECK (message_final IN (0, 1)),  -- the last state has been shown
    created_at   REAL NOT NULL,
    finished_at  REAL
) STRICT;
-- One of a kind at a time, held by the database itself.
CREATE UNIQUE INDEX one_job_of_a_kind ON jobs (kind) WHERE state IN ('running', 'cancelling');

CREATE TABLE trainings (
    -- One fine-tuning at a service. Each id is stored the moment it is known, so that a kill repeats nothing.
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id         INTEGER NOT NULL REFERENCES jobs (id),
    dataset_id     INTEGER NOT NULL REFERENCES datasets (id),
    base_url       TEXT NOT NULL,
    base_model     TEXT NOT NULL,
    epochs         INTEGER NOT NULL,
    state          TEXT NOT NULL,               -- ours: preparing, uploaded, running, succeeded, failed, cancelled
    file_id        TEXT,
    service_job_id TEXT,
    service_state  TEXT,
    fine_tuned_model TEXT,
    trained_tokens INTEGER,
    loss_curve     TEXT NOT NULL DEFAULT '[]',  -- JSON list of [step, train_loss]
    error          TEXT,
    created_at     REAL NOT NULL,
    finished_at    REAL
) STRICT;

CREATE TABLE voices (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    kind              TEXT NOT NULL,            -- fine_tuned, few_shot
    name              TEXT NOT NULL,
    model             TEXT NOT NULL,
    base_url          TEXT NOT NULL,
    dataset_id        INTEGER REFERENCES datasets (id),
    training_id       INTEGER REFERENCES trainings (id),
    developer_message TEXT NOT NULL,
    user_message      TEXT NOT NULL,
    cost              REAL NOT NULL DEFAULT 0,
    active            INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1)),
    created_at        REAL NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_active_voice ON voices (active) WHERE active = 1;

CREATE TABLE drafts (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    state         TEXT NOT NULL CHECK (state IN
                  ('pending', 'approved', 'uploading', 'uploaded', 'unknown', 'rejected', 'replaced')),
    text          TEXT NOT NULL,
    tags          TEXT NOT NULL,                -- JSON list
    original_text TEXT NOT NULL,                -- as it was generated, whatever edits came after
    prompt        TEXT NOT NULL,
    voice_id      INTEGER NOT NULL REFERENCES voices (id),
    job_id        INTEGER REFERENCES jobs (id),
    slot          INTEGER,                      -- which of the job's drafts this is: a resumed job writes only what is missing
    replaces      INTEGER REFERENCES drafts (id),
    parent        TEXT,                         -- JSON of the reblogged post
    blog          TEXT NOT NULL,
    upload_state  TEXT NOT NULL CHECK (upload_state IN ('draft', 'queue', 'published', 'private')),
    cost          REAL NOT NULL,
    created_at    REAL NOT NULL,
    version       INTEGER NOT NULL DEFAULT 1,
    shown_version INTEGER NOT NULL DEFAULT 0,
    channel_id    INTEGER,
    message_id    INTEGER,
    post_id       TEXT,
    post_url      TEXT,
    note          TEXT NOT NULL DEFAULT '',
    UNIQUE (job_id, slot)
) STRICT;
CREATE INDEX drafts_by_state ON drafts (state, id);
CREATE INDEX drafts_to_show ON drafts (id) WHERE shown_version < version;

CREATE TABLE decisions (
    -- Every step of a draft that a person took: who, when, before, after.
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    draft_id     INTEGER NOT NULL REFERENCES drafts (id),
    at           REAL NOT NULL,
    user_id      INTEGER NOT NULL,
    user_name    TEXT NOT NULL,
    action       TEXT NOT NULL,
    state_before TEXT NOT NULL,
    state_after  TEXT NOT NULL,
    text_before  TEXT NOT NULL,
    text_after   TEXT NOT NULL,
    tags_before  TEXT NOT NULL,
    tags_after   TEXT NOT NULL,
    reason       TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX decisions_by_draft ON decisions (draft_id, id);

CREATE TABLE uploads (
    -- An approved draft on its way to Tumblr. The intent is written before the call, the outcome after it.
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    draft_id    INTEGER NOT NULL REFERENCES drafts (id),
    decision_id INTEGER NOT NULL REFERENCES decisions (id),
    blog        TEXT NOT NULL,
    body        TEXT NOT NULL,                  -- the JSON that is sent
    started_at  REAL NOT NULL,
    looked_at   INTEGER NOT NULL DEFAULT 0,     -- how often the blog was searched for it after a lost answer
    outcome     TEXT CHECK (outcome IN ('created', 'found', 'not sent', 'quota', 'refused', 'unknown')),
    retry_at    REAL,                           -- it never reached Tumblr, and may be sent again from then on
    post_id     TEXT,
    finished_at REAL
) STRICT;
CREATE INDEX uploads_by_draft ON uploads (draft_id, id);

CREATE TABLE spending (
    -- Every paid call: reserved first, settled after. An open reservation counts in full.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at            REAL NOT NULL,
    purpose       TEXT NOT NULL,
    job_id        INTEGER REFERENCES jobs (id),
    model         TEXT NOT NULL,
    reserved      REAL NOT NULL,
    spent         REAL,                         -- NULL while the call is open
    input_tokens  INTEGER,
    output_tokens INTEGER
) STRICT;
CREATE INDEX spending_by_time ON spending (at);
