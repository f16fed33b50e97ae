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
, pass_stage TEXT CHECK (pass_stage IN ('new', 'full', 'settling')), pass_since REAL, full_pass_ended_at REAL) STRICT;
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
CREATE TABLE datasets (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at        REAL NOT NULL,
    digest            TEXT NOT NULL,            -- of the examples and messages: the same again is no new dataset
    developer_message TEXT NOT NULL,
    user_message      TEXT NOT NULL,
    settings          TEXT NOT NULL,            -- JSON: the filters it was made with
    screened_with     TEXT,                     -- the moderation model, once /moderate is done
    screened_at       REAL
, source TEXT NOT NULL DEFAULT 'posts' CHECK (source IN ('posts', 'file')), left_out TEXT NOT NULL DEFAULT '[]', deleted_at REAL) STRICT;
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
, missing_dollars REAL) STRICT;
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
, kind TEXT NOT NULL DEFAULT 'fine_tuned', suffix TEXT NOT NULL DEFAULT '', activate INTEGER NOT NULL DEFAULT 1 CHECK (activate IN (0, 1)), held_out_file_id TEXT, steps INTEGER, held_out_curve TEXT NOT NULL DEFAULT '[]', estimated_finish REAL, events TEXT NOT NULL DEFAULT '[]', failure TEXT, cost REAL, files_deleted INTEGER NOT NULL DEFAULT 0 CHECK (files_deleted IN (0, 1))) STRICT;
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
, settings TEXT NOT NULL DEFAULT '[]', retired_at REAL, shutdown_date TEXT, looked_up_at REAL, warned_days INTEGER) STRICT;
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
    note          TEXT NOT NULL DEFAULT '', seed INTEGER, input_tokens INTEGER, output_tokens INTEGER, findings TEXT NOT NULL DEFAULT '[]', held_back INTEGER NOT NULL DEFAULT 0 CHECK (held_back IN (0, 1)), closeness REAL, closest TEXT, rewrites INTEGER NOT NULL DEFAULT 0, publish_at REAL, regeneration_id INTEGER REFERENCES decisions (id),
    UNIQUE (job_id, slot)
) STRICT;
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
CREATE TABLE own_blogs (
    -- Blogs of the connected account. A blog that has left the account's list stays here, marked: what was the owner's
    -- own is not thrown away because another account was connected for an hour.
    uuid    TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    title   TEXT NOT NULL,
    present INTEGER NOT NULL CHECK (present IN (0, 1))  -- in the list as it was last read
) STRICT;
CREATE TABLE consents (
    -- Who says that a blog of somebody else may be downloaded. A revoked one stays, as a record.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    blog_uuid     TEXT NOT NULL,
    blog_name     TEXT NOT NULL,
    note          TEXT NOT NULL,
    given_at      REAL NOT NULL,
    given_by_id   INTEGER NOT NULL,
    given_by      TEXT NOT NULL,
    revoked_at    REAL,
    revoked_by_id INTEGER,
    revoked_by    TEXT
) STRICT;
CREATE TABLE training_files (
    -- The files made of the newest dataset, as they were last written: what differs from that was edited by hand.
    part      TEXT PRIMARY KEY CHECK (part IN ('training', 'held out')),
    sha256    TEXT NOT NULL,
    -- While the file is being exchanged: what it was before. NULL otherwise.
    previous_sha256 TEXT,
    -- For each line: a hash of its answer, and the blog and post it came from. It outlasts the posts: so the words of
    -- one that was removed are found in a file that was edited meanwhile.
    lines     TEXT NOT NULL
) STRICT;
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
CREATE TABLE screening_flags (
    -- The examples that are flagged under the dataset's thresholds, decided about or not.
    dataset_id INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    scores     TEXT NOT NULL,                   -- JSON object: category to score, null where the service gave none
    PRIMARY KEY (dataset_id, position),
    FOREIGN KEY (dataset_id, position) REFERENCES examples (dataset_id, position) ON DELETE CASCADE
) STRICT;
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
, service_job_id TEXT NOT NULL DEFAULT '') STRICT;
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
CREATE TABLE removals (
    -- A draft that is on the blog as a draft or in its queue, and is to be deleted there because somebody undid it. The
    -- draft stays 'uploaded' until it surely is gone.
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    draft_id    INTEGER NOT NULL REFERENCES drafts (id),
    decision_id INTEGER NOT NULL REFERENCES decisions (id),   -- the press
    blog        TEXT NOT NULL,
    post_id     TEXT NOT NULL,
    -- asked: nothing was sent; sending: written before the call; unknown: the answer was lost, and the blog is looked at;
    -- gone: it is not there any more; kept: it was not deleted, and the draft's note says why.
    state       TEXT NOT NULL CHECK (state IN ('asked', 'sending', 'unknown', 'gone', 'kept')),
    asked_at    REAL NOT NULL,
    retry_at    REAL NOT NULL DEFAULT 0,                      -- unix seconds; the next step is not taken before that
    tries       INTEGER NOT NULL DEFAULT 0,                   -- of the step that it waits for
    finished_at REAL
) STRICT;
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
CREATE TABLE job_offers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at REAL NOT NULL,
    kind       TEXT NOT NULL,
    parameters TEXT NOT NULL,                   -- JSON object
    job_id     INTEGER REFERENCES jobs (id)     -- the press that counted
) STRICT;
CREATE TABLE option_offers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at REAL NOT NULL,
    name       TEXT NOT NULL,                   -- dotted, never a secret's
    value      TEXT NOT NULL,                   -- JSON: as somebody typed it, or as TOML writes the default
    before     TEXT NOT NULL,                   -- as config.toml writes it
    outcome    TEXT CHECK (outcome IN ('applied', 'cancelled'))
) STRICT;
INSERT INTO facts VALUES ('Tumblr''s quota', '{"quota":{"hour_remaining":981,"hour_resets_at":1795827093.4002836,"day_remaining":4981,"day_resets_at":1795909893.4002836,"hour_limit":1000,"day_limit":5000},"held_until":1795824107.8128948,"blocked_until":null,"assumed_wait":60.0}');
INSERT INTO facts VALUES ('commands registered', '0906703ad287779a081e9c760bd374a604f54b6fccc8bff2b05def898f00a811');
INSERT INTO blogs VALUES ('t:kR7vMoon2Fog_Teas4Gull', 'lighthouse-keepers-log', 'the keeper''s log', 'https://lighthouse-keepers-log.tumblr.com/', 14, NULL, 0, 1, 1700001000, NULL, 1795823494.0112226, NULL, NULL, NULL);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415749894145', 1700001000, 'https://lighthouse-keepers-log.tumblr.com/post/834481415749894145/a-storm-took-the-shed-the-gull-has', 'a storm took the shed. the gull has the shed now.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700001000},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415749894145/a-storm-took-the-shed-the-gull-has","slug":"a-storm-took-the-shed-the-gull-has","timestamp":1700001000,"state":"published","reblog_key":"MFYRfV3C","tags":[],"short_url":"https://tmblr.co/Zb94ac6d25700001","summary":"a storm took the shed. the gull has the shed now.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"a storm took the shed. the gull has the shed now."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415749894145,"id_string":"834481415749894145","date":"2023-11-14 22:30:00 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415748845569', 1700000900, 'https://lighthouse-keepers-log.tumblr.com/post/834481415748845569/day-9-at-the-light-the-kettle-sang', 'day 9 at the light. the kettle sang 9 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000900},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415748845569/day-9-at-the-light-the-kettle-sang","slug":"day-9-at-the-light-the-kettle-sang","timestamp":1700000900,"state":"published","reblog_key":"91rSFgSC","tags":[],"short_url":"https://tmblr.co/Zb94ac6d25600001","summary":"day 9 at the light. the kettle sang 9 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 9 at the light. the kettle sang 9 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415748845569,"id_string":"834481415748845569","date":"2023-11-14 22:28:20 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415747796993', 1700000800, 'https://lighthouse-keepers-log.tumblr.com/post/834481415747796993/day-8-at-the-light-the-kettle-sang', 'day 8 at the light. the kettle sang 8 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000800},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415747796993/day-8-at-the-light-the-kettle-sang","slug":"day-8-at-the-light-the-kettle-sang","timestamp":1700000800,"state":"published","reblog_key":"ZyGay4wV","tags":[],"short_url":"https://tmblr.co/Zb94ac6d25500001","summary":"day 8 at the light. the kettle sang 8 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 8 at the light. the kettle sang 8 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415747796993,"id_string":"834481415747796993","date":"2023-11-14 22:26:40 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415746748417', 1700000700, 'https://lighthouse-keepers-log.tumblr.com/post/834481415746748417/day-7-at-the-light-the-kettle-sang', 'day 7 at the light. the kettle sang 7 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000700},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415746748417/day-7-at-the-light-the-kettle-sang","slug":"day-7-at-the-light-the-kettle-sang","timestamp":1700000700,"state":"published","reblog_key":"k2ZDIlLw","tags":[],"short_url":"https://tmblr.co/Zb94ac6d25400001","summary":"day 7 at the light. the kettle sang 7 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 7 at the light. the kettle sang 7 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415746748417,"id_string":"834481415746748417","date":"2023-11-14 22:25:00 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415745699841', 1700000600, 'https://lighthouse-keepers-log.tumblr.com/post/834481415745699841/day-6-at-the-light-the-kettle-sang', 'day 6 at the light. the kettle sang 6 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000600},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415745699841/day-6-at-the-light-the-kettle-sang","slug":"day-6-at-the-light-the-kettle-sang","timestamp":1700000600,"state":"published","reblog_key":"oRGnvUbl","tags":[],"short_url":"https://tmblr.co/Zb94ac6d25300001","summary":"day 6 at the light. the kettle sang 6 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 6 at the light. the kettle sang 6 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415745699841,"id_string":"834481415745699841","date":"2023-11-14 22:23:20 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415744651265', 1700000500, 'https://lighthouse-keepers-log.tumblr.com/post/834481415744651265/day-5-at-the-light-the-kettle-sang', 'day 5 at the light. the kettle sang 5 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000500},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415744651265/day-5-at-the-light-the-kettle-sang","slug":"day-5-at-the-light-the-kettle-sang","timestamp":1700000500,"state":"published","reblog_key":"RfYheYw5","tags":[],"short_url":"https://tmblr.co/Zb94ac6d25200001","summary":"day 5 at the light. the kettle sang 5 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 5 at the light. the kettle sang 5 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415744651265,"id_string":"834481415744651265","date":"2023-11-14 22:21:40 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415743602689', 1700000400, 'https://lighthouse-keepers-log.tumblr.com/post/834481415743602689/day-4-at-the-light-the-kettle-sang', 'day 4 at the light. the kettle sang 4 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000400},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415743602689/day-4-at-the-light-the-kettle-sang","slug":"day-4-at-the-light-the-kettle-sang","timestamp":1700000400,"state":"published","reblog_key":"hxDZ8a8a","tags":[],"short_url":"https://tmblr.co/Zb94ac6d25100001","summary":"day 4 at the light. the kettle sang 4 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 4 at the light. the kettle sang 4 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415743602689,"id_string":"834481415743602689","date":"2023-11-14 22:20:00 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415742554113', 1700000300, 'https://lighthouse-keepers-log.tumblr.com/post/834481415742554113/day-3-at-the-light-the-kettle-sang', 'day 3 at the light. the kettle sang 3 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000300},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415742554113/day-3-at-the-light-the-kettle-sang","slug":"day-3-at-the-light-the-kettle-sang","timestamp":1700000300,"state":"published","reblog_key":"n_754Yey","tags":[],"short_url":"https://tmblr.co/Zb94ac6d25000001","summary":"day 3 at the light. the kettle sang 3 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 3 at the light. the kettle sang 3 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415742554113,"id_string":"834481415742554113","date":"2023-11-14 22:18:20 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415741505537', 1700000200, 'https://lighthouse-keepers-log.tumblr.com/post/834481415741505537/day-2-at-the-light-the-kettle-sang', 'day 2 at the light. the kettle sang 2 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000200},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415741505537/day-2-at-the-light-the-kettle-sang","slug":"day-2-at-the-light-the-kettle-sang","timestamp":1700000200,"state":"published","reblog_key":"lQqp6u7r","tags":[],"short_url":"https://tmblr.co/Zb94ac6d24f00001","summary":"day 2 at the light. the kettle sang 2 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 2 at the light. the kettle sang 2 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415741505537,"id_string":"834481415741505537","date":"2023-11-14 22:16:40 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415740456961', 1700000100, 'https://lighthouse-keepers-log.tumblr.com/post/834481415740456961/day-1-at-the-light-the-kettle-sang', 'day 1 at the light. the kettle sang 1 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000100},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415740456961/day-1-at-the-light-the-kettle-sang","slug":"day-1-at-the-light-the-kettle-sang","timestamp":1700000100,"state":"published","reblog_key":"vifmEFKT","tags":[],"short_url":"https://tmblr.co/Zb94ac6d24e00001","summary":"day 1 at the light. the kettle sang 1 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 1 at the light. the kettle sang 1 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415740456961,"id_string":"834481415740456961","date":"2023-11-14 22:15:00 GMT"}' AS BLOB), 1795823494.039572);
INSERT INTO posts VALUES ('t:kR7vMoon2Fog_Teas4Gull', '834481415739408385', 1700000000, 'https://lighthouse-keepers-log.tumblr.com/post/834481415739408385/day-0-at-the-light-the-kettle-sang', 'day 0 at the light. the kettle sang 0 times and the gull answered, as gulls do.', '[]', NULL, CAST('{"object_type":"post","type":"blocks","original_type":"regular","is_blocks_post_format":true,"blog_name":"lighthouse-keepers-log","blog":{"name":"lighthouse-keepers-log","title":"the keeper''s log","description":"","url":"https://lighthouse-keepers-log.tumblr.com/","uuid":"t:kR7vMoon2Fog_Teas4Gull","updated":1700000000},"post_url":"https://lighthouse-keepers-log.tumblr.com/post/834481415739408385/day-0-at-the-light-the-kettle-sang","slug":"day-0-at-the-light-the-kettle-sang","timestamp":1700000000,"state":"published","reblog_key":"N5RzcNtb","tags":[],"short_url":"https://tmblr.co/Zb94ac6d24d00001","summary":"day 0 at the light. the kettle sang 0 times and the gull answered, as gulls do.","should_open_in_legacy":false,"followed":false,"liked":false,"note_count":0,"content":[{"type":"text","text":"day 0 at the light. the kettle sang 0 times and the gull answered, as gulls do."}],"layout":[],"trail":[],"can_like":true,"can_reblog":true,"can_send_in_message":true,"can_reply":true,"display_avatar":true,"id":834481415739408385,"id_string":"834481415739408385","date":"2023-11-14 22:13:20 GMT"}' AS BLOB), 1795823494.0686438);
INSERT INTO datasets VALUES (1, 1795823501.4785972, '947bf633188fe0fe5b8a232a40299769902e795b0e529854f04ffa7a95027111', 'You write the posts of one Tumblr blog, in its author''s own voice. Answer with the post alone.', 'Write the next post for the blog.', '{"date_limit": null, "post_limit": 0, "filtered_words": [], "include_answers": false, "include_reblog_comments": false, "reblog_user_message": "Write a reply to this post, to be reblogged with it:\n\n{}", "held_out_share": 0.1, "example_token_limit": 0}', 'omni-moderation-latest', 1795823506.0512648, 'posts', '[]', NULL);
INSERT INTO examples VALUES (1, 0, 'Write the next post for the blog.', 'a storm took the shed. the gull has the shed now.', 't:kR7vMoon2Fog_Teas4Gull', '834481415749894145', 57, 0, 'violence');
INSERT INTO examples VALUES (1, 1, 'Write the next post for the blog.', 'day 9 at the light. the kettle sang 9 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415748845569', 67, 0, NULL);
INSERT INTO examples VALUES (1, 2, 'Write the next post for the blog.', 'day 8 at the light. the kettle sang 8 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415747796993', 67, 0, NULL);
INSERT INTO examples VALUES (1, 3, 'Write the next post for the blog.', 'day 7 at the light. the kettle sang 7 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415746748417', 67, 0, NULL);
INSERT INTO examples VALUES (1, 4, 'Write the next post for the blog.', 'day 6 at the light. the kettle sang 6 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415745699841', 67, 0, NULL);
INSERT INTO examples VALUES (1, 5, 'Write the next post for the blog.', 'day 5 at the light. the kettle sang 5 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415744651265', 67, 0, NULL);
INSERT INTO examples VALUES (1, 6, 'Write the next post for the blog.', 'day 4 at the light. the kettle sang 4 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415743602689', 67, 0, NULL);
INSERT INTO examples VALUES (1, 7, 'Write the next post for the blog.', 'day 3 at the light. the kettle sang 3 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415742554113', 67, 0, NULL);
INSERT INTO examples VALUES (1, 8, 'Write the next post for the blog.', 'day 2 at the light. the kettle sang 2 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415741505537', 67, 0, NULL);
INSERT INTO examples VALUES (1, 9, 'Write the next post for the blog.', 'day 1 at the light. the kettle sang 1 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415740456961', 67, 0, NULL);
INSERT INTO examples VALUES (1, 10, 'Write the next post for the blog.', 'day 0 at the light. the kettle sang 0 times and the gull answered, as gulls do.', 't:kR7vMoon2Fog_Teas4Gull', '834481415739408385', 67, 0, NULL);
INSERT INTO judgements VALUES ('c03f667b7f294fe0da19381b94b80589cc3a4d03900356a88488ff9ce252a89a', 'omni-moderation-latest', 1, '["violence"]', '{"harassment": 0.004828507261157849, "harassment/threatening": 0.0021087891044773185, "hate": 0.009580457296785791, "hate/threatening": 0.002151478579698252, "illicit": 0.008071639973653564, "illicit/violent": 0.008558693698477305, "self-harm": 0.008809136220065612, "self-harm/instructions": 0.004392757757009762, "self-harm/intent": 0.007846009687556417, "sexual": 0.0076541704736523865, "sexual/minors": 0.0037363286773356777, "violence": 0.941228744436235, "violence/graphic": 0.002794456744381586}', 1795823506.0457277);
INSERT INTO judgements VALUES ('2b234492cdada9a72edd49d5246798279761fc32f8d2f29e6871d66ed85b34ce', 'omni-moderation-latest', 0, '[]', '{"harassment": 0.008305939115047003, "harassment/threatening": 0.0016910295929547798, "hate": 0.0024116032122607337, "hate/threatening": 0.006606467692971586, "illicit": 0.005530461199690946, "illicit/violent": 0.0019997172495350903, "self-harm": 0.00041276030000002116, "self-harm/instructions": 0.004131357612989061, "self-harm/intent": 0.002270272504009709, "sexual": 0.0049079554795967515, "sexual/minors": 0.009840510932300121, "violence": 0.008581751350177975, "violence/graphic": 0.001402393604767883}', 1795823506.0457277);
INSERT INTO judgements VALUES ('d99adf613c99810e9908681c46a7f660abc37f047c993ecca867c11c892797c5', 'omni-moderation-latest', 0, '[]', '{"harassment": 0.003777277845941187, "harassment/threatening": 0.008976285059709037, "hate": 0.005923677960894146, "hate/threatening": 0.006569788920094774, "illicit": 0.0017331072800482838, "illicit/violent": 0.007337651251038152, "self-harm": 0.004017252590503252, "self-harm/instructions": 0.003918988065812972, "self-harm/intent": 0.002960735121052541, "sexual": 0.0015267291708088646, "sexual/minors": 0.0014190186859529888, "violence": 0.008837728833584644, "violence/graphic": 0.009608596225825931}', 1795823506.0457277);
INSERT INTO jobs VALUES (1, 'download', '{"blogs":[],"full":false}', 'succeeded', '{"done":11,"total":11,"line":"Done: 11 new posts.","unit":"posts","preview":null,"total_is_estimate":false,"waiting_for":null,"wait_until":null,"facts":[["lighthouse-keepers-log","11 posts, 11 usable as examples, 11 new"]],"curve":[],"choices":[],"dataset_id":null,"held_out_curve":[],"finish":null,"rest":null}', NULL, 'keeper', 1456074443980800006, 1456074443980800004, 1456074443980800024, 1795823493.7303061, 1, 1795823493.7139237, 1795823494.0720453, NULL);
INSERT INTO jobs VALUES (2, 'generate', '{"count":6}', 'succeeded', '{"done":6,"total":6,"line":"Done: 6 drafts wait for your decision.","unit":"drafts","preview":{"text":"day 3 at the gull answered, as gulls do.","title":"Just written, held back by the guards","url":null,"tags":["answered","gulls"],"note":""},"total_is_estimate":false,"waiting_for":null,"wait_until":null,"facts":[["Voice","few-shot"],["Cost","about $0.0004"],["Destination","lighthouse-keepers-log"],["Held back","5 by the guards; each says why"]],"curve":[],"choices":[],"dataset_id":null,"held_out_curve":[],"finish":null,"rest":null}', NULL, 'keeper', 1456074443980800006, 1456074443980800004, 1456074443980800027, 1795823494.1521184, 1, 1795823494.1175587, 1795823500.6778133, NULL);
INSERT INTO jobs VALUES (3, 'examples', '{}', 'succeeded', '{"done":11,"total":11,"line":"Dataset 1: 11 examples to train on.","unit":"examples","preview":{"text":"day 0 at the light. the kettle sang 0 times and the gull answered, as gulls do.","title":"An example","url":null,"tags":[],"note":""},"total_is_estimate":false,"waiting_for":null,"wait_until":null,"facts":[["lighthouse-keepers-log","11 examples"],["Held out","none"],["Tokens","727 in one epoch"],["Mind","That is few: 50 or more give a clearer voice."]],"curve":[],"choices":[],"dataset_id":1,"held_out_curve":[],"finish":null,"rest":null}', NULL, 'keeper', 1456074443980800006, 1456074443980800004, 1456074443980800048, 1795823501.447683, 1, 1795823501.4424717, 1795823501.5517993, NULL);
INSERT INTO jobs VALUES (4, 'moderate', '{}', 'succeeded', '{"done":11,"total":11,"line":"Done: 1 of 11 examples set aside, 10 left to train on.","unit":"texts","preview":null,"total_is_estimate":false,"waiting_for":null,"wait_until":null,"facts":[["violence","1"]],"curve":[],"choices":[],"dataset_id":1,"held_out_curve":[],"finish":null,"rest":null}', NULL, 'keeper', 1456074443980800006, 1456074443980800004, 1456074443980800052, 1795823505.9708893, 1, 1795823505.956421, 1795823506.1945336, NULL);
INSERT INTO jobs VALUES (5, 'finetune', '{"offer_id":1}', 'succeeded', '{"done":1,"total":1,"line":"Done: the new voice is active.","unit":"","preview":null,"total_is_estimate":false,"waiting_for":null,"wait_until":null,"facts":[["Voice","gpt-4.1-mini-2025-04-14, dataset 1"],["Model","ft:gpt-4.1-mini-2025-04-14:stand-in::c8fb1be1"],["Cost","about $0.01"],["Trained","1,340 tokens"],["Epochs","2"],["Loss","2.72 at first, 0.88 at last"]],"curve":[[1,2.71558],[2,2.3853],[3,2.23829],[4,2.05407],[5,1.79294],[6,1.71667],[7,1.60796],[8,1.45148],[9,1.33443],[10,1.30765],[11,1.19843],[12,1.15282],[13,1.12598],[14,1.09814],[15,1.00811],[16,1.02364],[17,0.95977],[18,0.9505],[19,0.9685],[20,0.88014]],"choices":[],"dataset_id":null,"held_out_curve":[],"finish":null,"rest":null}', NULL, 'keeper', 1456074443980800006, 1456074443980800004, 1456074443980800057, 1795823506.3633285, 1, 1795823506.329604, 1795823507.1192229, NULL);
INSERT INTO jobs VALUES (6, 'download', '{"blogs":[],"full":false}', 'running', '{"done":0,"total":null,"line":"Looking up lighthouse-keepers-log.","unit":"posts","preview":null,"total_is_estimate":true,"waiting_for":"Tumblr''s quota","wait_until":1795824107.8128948,"facts":[],"curve":[],"choices":[],"dataset_id":null,"held_out_curve":[],"finish":null,"rest":null}', NULL, 'keeper', 1456074443980800006, 1456074443980800004, 1456074443980800065, 1795823507.8611114, 0, 1795823507.8575149, NULL, NULL);
INSERT INTO trainings VALUES (1, 5, 1, 'http://127.0.0.1:42859/v1', 'gpt-4.1-mini-2025-04-14', 2, 'succeeded', 'file-bc4b94b005734e69abd12a37', 'ftjob-f4e5a861ff474d8991250b9a', 'succeeded', 'ft:gpt-4.1-mini-2025-04-14:stand-in::c8fb1be1', 1340, '[[1, 2.71558], [2, 2.3853], [3, 2.23829], [4, 2.05407], [5, 1.79294], [6, 1.71667], [7, 1.60796], [8, 1.45148], [9, 1.33443], [10, 1.30765], [11, 1.19843], [12, 1.15282], [13, 1.12598], [14, 1.09814], [15, 1.00811], [16, 1.02364], [17, 0.95977], [18, 0.9505], [19, 0.9685], [20, 0.88014]]', NULL, 1795823506.3898847, 1795823506.8054864, 'fine_tuned', '', 1, NULL, 20, '[]', NULL, '[{"at":1795823506.0,"text":"Validating training file: file-bc4b94b005734e69abd12a37"},{"at":1795823506.0,"text":"Files validated, moving job to queued state"},{"at":1795823506.0,"text":"Fine-tuning job started"},{"at":1795823506.0,"text":"Checkpoint created at step 10"},{"at":1795823506.0,"text":"Checkpoint created at step 20"},{"at":1795823506.0,"text":"New fine-tuned model created: ft:gpt-4.1-mini-2025-04-14:stand-in::c8fb1be1"},{"at":1795823506.0,"text":"Moderation checks for the model passed; it is enabled for sampling"},{"at":1795823506.0,"text":"The job has successfully completed"}]', NULL, NULL, 0);
INSERT INTO voices VALUES (1, 'few_shot', 'few-shot', 'gpt-6-luna', 'http://127.0.0.1:42859/v1', NULL, NULL, 'You write the posts of one Tumblr blog, in its author''s own voice. Answer with the post alone.', 'Write the next post for the blog.', 0.0, 0, 1795823494.1290812, '[]', NULL, NULL, 1795823507.3028555, NULL);
INSERT INTO voices VALUES (2, 'fine_tuned', 'gpt-4.1-mini-2025-04-14, dataset 1', 'ft:gpt-4.1-mini-2025-04-14:stand-in::c8fb1be1', 'http://127.0.0.1:42859/v1', 1, 1, 'You write the posts of one Tumblr blog, in its author''s own voice. Answer with the post alone.', 'Write the next post for the blog.', 0.0067, 1, 1795823506.7966592, '[["Base model", "gpt-4.1-mini-2025-04-14"], ["Epochs", "2"], ["Trained", "1,340 tokens"]]', NULL, '2027-01-14', 1795823507.2369626, 60);
INSERT INTO drafts VALUES (1, 'uploaded', 'day 5 at the shed now.', '["day", "at", "the", "shed", "now"]', 'day 5 at the shed now.', 'Write the next post for the blog.', 1, 2, 1, NULL, NULL, 'lighthouse-keepers-log', 'draft', 5.62e-05, 1795823500.3081386, 5, 5, 1456074443980800004, 1456074443980800028, '834481423210512385', 'https://www.tumblr.com/blog/lighthouse-keepers-log/drafts', '', 115736371, 390, 8, '[]', 0, 0.0, NULL, 0, NULL, NULL);
INSERT INTO drafts VALUES (2, 'pending', 'the light is lit.', '["edited by hand"]', 'day 2 at the kettle sang 8 at the gull answered, as gulls do.', 'Write the next post for the blog.', 1, 2, 3, NULL, NULL, 'lighthouse-keepers-log', 'draft', 6.08e-05, 1795823500.345661, 3, 3, 1456074443980800004, 1456074443980800029, NULL, NULL, '', 827594199, 390, 19, '[{"kind":"copies a post","sentence":"It is too close to a post of the blog: both have “the gull answered as gulls do”."}]', 1, 0.43, '{"text":"the gull answered as gulls do","url":"https://lighthouse-keepers-log.tumblr.com/post/834481415747796993/day-8-at-the-light-the-kettle-sang"}', 0, NULL, NULL);
INSERT INTO drafts VALUES (3, 'rejected', 'day 5 at the light. the gull answered, as gulls do.', '["light", "answered", "gulls"]', 'day 5 at the light. the gull answered, as gulls do.', 'Write the next post for the blog.', 1, 2, 0, NULL, NULL, 'lighthouse-keepers-log', 'draft', 5.85e-05, 1795823500.401485, 3, 3, 1456074443980800004, 1456074443980800030, NULL, NULL, '', 1036126686, 390, 16, '[{"kind":"copies a post","sentence":"It is too close to a post of the blog: both have “day 5 at the light the”."},{"kind":"repeats a draft","sentence":"It is too close to draft 2: both have “the gull answered as gulls do”."}]', 1, 1.0, '{"text":"day 5 at the light the","url":"https://lighthouse-keepers-log.tumblr.com/post/834481415744651265/day-5-at-the-light-the-kettle-sang"}', 0, NULL, NULL);
INSERT INTO drafts VALUES (4, 'replaced', 'a storm took the shed. the gull answered, as gulls do.', '["storm", "answered", "gulls"]', 'a storm took the shed. the gull answered, as gulls do.', 'Write the next post for the blog.', 1, 2, 4, NULL, NULL, 'lighthouse-keepers-log', 'draft', 5.79e-05, 1795823500.4463356, 3, 3, 1456074443980800004, 1456074443980800031, NULL, NULL, '', 661101287, 390, 15, '[{"kind":"copies a post","sentence":"It is too close to a post of the blog: both have “a storm took the shed the gull”."},{"kind":"flagged","sentence":"127.0.0.1 flags it: violence."},{"kind":"repeats a draft","sentence":"It is too close to draft 3: both have “the gull answered as gulls do”."}]', 1, 1.0, '{"text":"a storm took the shed the gull","url":"https://lighthouse-keepers-log.tumblr.com/post/834481415749894145/a-storm-took-the-shed-the-gull-has"}', 0, NULL, NULL);
INSERT INTO drafts VALUES (5, 'unknown', 'day 1 at the light. the light. the light. the gull answered, as gulls do.', '["light", "answered", "gulls"]', 'day 1 at the light. the light. the light. the gull answered, as gulls do.', 'Write the next post for the blog.', 1, 2, 2, NULL, NULL, 'lighthouse-keepers-log', 'draft', 6.21e-05, 1795823500.5254743, 6, 6, 1456074443980800004, 1456074443980800032, NULL, NULL, 'Tumblr''s answer was lost, and it was not found on lighthouse-keepers-log. Please look there yourself, then say which it is.', 1052674027, 390, 22, '[{"kind":"close to a post","sentence":"It is close to a post of the blog: both have “day 1 at the light the”."},{"kind":"repeats a draft","sentence":"It is too close to draft 3: both have “the light the gull answered as gulls do”."}]', 1, 0.8, '{"text":"day 1 at the light the","url":"https://lighthouse-keepers-log.tumblr.com/post/834481415740456961/day-1-at-the-light-the-kettle-sang"}', 0, NULL, NULL);
INSERT INTO drafts VALUES (6, 'approved', 'day 3 at the gull answered, as gulls do.', '["answered", "gulls"]', 'day 3 at the gull answered, as gulls do.', 'Write the next post for the blog.', 1, 2, 5, NULL, NULL, 'lighthouse-keepers-log', 'draft', 5.52e-05, 1795823500.5831382, 5, 5, 1456074443980800004, 1456074443980800033, NULL, NULL, 'Tumblr''s limit on calls is reached. It will be sent <t:1795824107:R>.', 1327310513, 390, 13, '[{"kind":"copies a post","sentence":"It is too close to a post of the blog: both have “the gull answered as gulls do”."},{"kind":"repeats a draft","sentence":"It is too close to draft 2: both have “at the gull answered as gulls do”."}]', 1, 0.67, '{"text":"the gull answered as gulls do","url":"https://lighthouse-keepers-log.tumblr.com/post/834481415742554113/day-3-at-the-light-the-kettle-sang"}', 0, NULL, NULL);
INSERT INTO drafts VALUES (7, 'pending', 'day 8 at the gull answered, as gulls do.', '["answered", "gulls"]', 'day 8 at the gull answered, as gulls do.', 'Write the next post for the blog.', 1, 2, NULL, 4, NULL, 'lighthouse-keepers-log', 'draft', 5.52e-05, 1795823501.042417, 2, 2, 1456074443980800004, 1456074443980800043, NULL, NULL, '', 46105152, 390, 13, '[{"kind":"copies a post","sentence":"It is too close to a post of the blog: both have “the gull answered as gulls do”."},{"kind":"repeats a draft","sentence":"It is too close to draft 6: both have “at the gull answered as gulls do”."}]', 1, 0.67, '{"text":"the gull answered as gulls do","url":"https://lighthouse-keepers-log.tumblr.com/post/834481415747796993/day-8-at-the-light-the-kettle-sang"}', 0, NULL, 4);
INSERT INTO decisions VALUES (1, 1, 1795823500.7738452, 1456074443980800006, 'keeper', 'approve', 'pending', 'approved', 'day 5 at the shed now.', 'day 5 at the shed now.', '["day", "at", "the", "shed", "now"]', '["day", "at", "the", "shed", "now"]', '');
INSERT INTO decisions VALUES (2, 2, 1795823500.9191988, 1456074443980800006, 'keeper', 'edit', 'pending', 'pending', 'day 2 at the kettle sang 8 at the gull answered, as gulls do.', 'the light is lit.', '["kettle", "answered", "gulls"]', '["edited by hand"]', '');
INSERT INTO decisions VALUES (3, 3, 1795823500.954255, 1456074443980800007, 'odile', 'reject', 'pending', 'rejected', 'day 5 at the light. the gull answered, as gulls do.', 'day 5 at the light. the gull answered, as gulls do.', '["light", "answered", "gulls"]', '["light", "answered", "gulls"]', '');
INSERT INTO decisions VALUES (4, 4, 1795823500.9891407, 1456074443980800006, 'keeper', 'regenerate', 'pending', 'replaced', 'a storm took the shed. the gull answered, as gulls do.', 'a storm took the shed. the gull answered, as gulls do.', '["storm", "answered", "gulls"]', '["storm", "answered", "gulls"]', '');
INSERT INTO decisions VALUES (5, 5, 1795823501.06631, 1456074443980800006, 'keeper', 'approve', 'pending', 'approved', 'day 1 at the light. the light. the light. the gull answered, as gulls do.', 'day 1 at the light. the light. the light. the gull answered, as gulls do.', '["light", "answered", "gulls"]', '["light", "answered", "gulls"]', '');
INSERT INTO decisions VALUES (6, 6, 1795823507.757064, 1456074443980800006, 'keeper', 'approve', 'pending', 'approved', 'day 3 at the gull answered, as gulls do.', 'day 3 at the gull answered, as gulls do.', '["answered", "gulls"]', '["answered", "gulls"]', '');
INSERT INTO uploads VALUES (1, 1, 1, 'lighthouse-keepers-log', '{"content": [{"type": "text", "text": "day 5 at the shed now."}], "state": "draft", "tags": "day,at,the,shed,now"}', 1795823500.8077855, 0, 'created', NULL, '834481423210512385', 1795823500.854272);
INSERT INTO uploads VALUES (2, 5, 5, 'lighthouse-keepers-log', '{"content": [{"type": "text", "text": "day 1 at the light. the light. the light. the gull answered, as gulls do."}], "state": "draft", "tags": "light,answered,gulls"}', 1795823501.0769477, 3, 'unknown', NULL, NULL, 1795823501.089445);
INSERT INTO uploads VALUES (3, 6, 6, 'lighthouse-keepers-log', '{"content": [{"type": "text", "text": "day 3 at the gull answered, as gulls do."}], "state": "draft", "tags": "answered,gulls"}', 1795823507.7888606, 0, 'quota', 1795824107.8128948, NULL, 1795823507.818832);
INSERT INTO spending VALUES (1, 1795823496.7540011, 'writing', 2, 'gpt-6-luna', 0.0008895, 4.7e-05, 390, 16);
INSERT INTO spending VALUES (2, 1795823496.7576144, 'writing', 2, 'gpt-6-luna', 0.0008895, 5e-05, 390, 22);
INSERT INTO spending VALUES (3, 1795823496.7691941, 'writing', 2, 'gpt-6-luna', 0.0008895, 4.3e-05, 390, 8);
INSERT INTO spending VALUES (4, 1795823496.7832465, 'writing', 2, 'gpt-6-luna', 0.0008895, 4.85e-05, 390, 19);
INSERT INTO spending VALUES (5, 1795823499.8081908, 'writing', 2, 'gpt-6-luna', 0.0008895, 4.65e-05, 390, 15);
INSERT INTO spending VALUES (6, 1795823499.9097657, 'writing', 2, 'gpt-6-luna', 0.0008895, 4.55e-05, 390, 13);
INSERT INTO spending VALUES (7, 1795823500.3225172, 'tags', 2, 'gpt-6-luna', 0.0003, 1.3199999999999999e-05, 37, 19);
INSERT INTO spending VALUES (8, 1795823500.3731167, 'tags', 2, 'gpt-6-luna', 0.0003, 1.23e-05, 48, 15);
INSERT INTO spending VALUES (9, 1795823500.430301, 'tags', 2, 'gpt-6-luna', 0.0003, 1.15e-05, 45, 14);
INSERT INTO spending VALUES (10, 1795823500.502402, 'tags', 2, 'gpt-6-luna', 0.0003, 1.1400000000000001e-05, 44, 14);
INSERT INTO spending VALUES (11, 1795823500.567877, 'tags', 2, 'gpt-6-luna', 0.0003, 1.2100000000000001e-05, 51, 14);
INSERT INTO spending VALUES (12, 1795823500.6311662, 'tags', 2, 'gpt-6-luna', 0.0003, 9.699999999999999e-06, 42, 11);
INSERT INTO spending VALUES (13, 1795823501.011693, 'writing', 2, 'gpt-6-luna', 0.0008895, 4.55e-05, 390, 13);
INSERT INTO spending VALUES (14, 1795823501.0444682, 'tags', 2, 'gpt-6-luna', 0.0003, 9.699999999999999e-06, 42, 11);
INSERT INTO spending VALUES (15, 1795823506.386229, 'fine-tuning', 5, 'gpt-4.1-mini-2025-04-14', 0.0067, 0.0067, 1340, 0);
INSERT INTO own_blogs VALUES ('t:kR7vMoon2Fog_Teas4Gull', 'lighthouse-keepers-log', 'the keeper''s log', 1);
INSERT INTO training_files VALUES ('training', '9e8ab15dd312c401a91473ec904a20f8346b8f0d07153d8cd8c99f55ed8cb030', NULL, '8fdebb29da93c655 t:kR7vMoon2Fog_Teas4Gull 834481415748845569
47d19614852c6814 t:kR7vMoon2Fog_Teas4Gull 834481415747796993
221e41a3e60633d3 t:kR7vMoon2Fog_Teas4Gull 834481415746748417
ccf458a7003e44e8 t:kR7vMoon2Fog_Teas4Gull 834481415745699841
bbb02f8cc3abce0a t:kR7vMoon2Fog_Teas4Gull 834481415744651265
ea969f8ac9811982 t:kR7vMoon2Fog_Teas4Gull 834481415743602689
d905dee7492b26cd t:kR7vMoon2Fog_Teas4Gull 834481415742554113
815b034ad03d8918 t:kR7vMoon2Fog_Teas4Gull 834481415741505537
a5e8e1b64a7dca91 t:kR7vMoon2Fog_Teas4Gull 834481415740456961
dc30bcac68e4c2ac t:kR7vMoon2Fog_Teas4Gull 834481415739408385');
INSERT INTO screening_flags VALUES (1, 0, '{"violence": 0.941228744436235}');
INSERT INTO training_offers VALUES (1, 1795823506.2784464, 'fine_tuned', 1, 'http://127.0.0.1:42859/v1', 'gpt-4.1-mini-2025-04-14', 2, '', 1, 0.0067, 5, '');
INSERT INTO audit VALUES (1, 1795823506.3303194, 1456074443980800006, 'keeper', 'start training', 'dataset 1', '', 'gpt-4.1-mini-2025-04-14, 2 epochs, about 0.01 dollars');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES ('jobs', 6);
INSERT INTO sqlite_sequence VALUES ('voices', 2);
INSERT INTO sqlite_sequence VALUES ('spending', 15);
INSERT INTO sqlite_sequence VALUES ('writings', 7);
INSERT INTO sqlite_sequence VALUES ('drafts', 7);
INSERT INTO sqlite_sequence VALUES ('decisions', 6);
INSERT INTO sqlite_sequence VALUES ('uploads', 3);
INSERT INTO sqlite_sequence VALUES ('datasets', 1);
INSERT INTO sqlite_sequence VALUES ('training_offers', 1);
INSERT INTO sqlite_sequence VALUES ('audit', 1);
INSERT INTO sqlite_sequence VALUES ('trainings', 1);
CREATE INDEX blogs_by_name ON blogs (name);
CREATE INDEX posts_by_time ON posts (blog_uuid, timestamp DESC, id DESC);
CREATE INDEX valid_posts_by_time ON posts (blog_uuid, timestamp DESC, id DESC) WHERE rejection IS NULL;
CREATE UNIQUE INDEX one_job_of_a_kind ON jobs (kind) WHERE state IN ('running', 'cancelling');
CREATE UNIQUE INDEX one_active_voice ON voices (active) WHERE active = 1;
CREATE INDEX drafts_by_state ON drafts (state, id);
CREATE INDEX drafts_to_show ON drafts (id) WHERE shown_version < version;
CREATE INDEX decisions_by_draft ON decisions (draft_id, id);
CREATE INDEX uploads_by_draft ON uploads (draft_id, id);
CREATE INDEX spending_by_time ON spending (at);
CREATE UNIQUE INDEX one_consent_for_a_blog ON consents (blog_uuid) WHERE revoked_at IS NULL;
CREATE INDEX posts_by_sight ON posts (blog_uuid, seen_at);
CREATE INDEX examples_by_post ON examples (blog_uuid, post_id) WHERE post_id IS NOT NULL;
CREATE INDEX posts_by_rejection ON posts (rejection, timestamp DESC) WHERE rejection IS NOT NULL;
CREATE INDEX screening_decisions_by_dataset ON screening_decisions (dataset_id, id);
CREATE INDEX screening_batches_by_job ON screening_batches (job_id);
CREATE INDEX trainings_by_job ON trainings (job_id);
CREATE INDEX drafts_by_voice ON drafts (voice_id, state);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX drafts_by_regeneration ON drafts (regeneration_id) WHERE regeneration_id IS NOT NULL;
CREATE UNIQUE INDEX one_open_removal_of_a_draft ON removals (draft_id) WHERE state IN ('asked', 'sending', 'unknown');
CREATE INDEX writings_by_turn ON writings (turn, id);
PRAGMA user_version = 11;
