-- What the guards say of a draft, when it may go to the blog, which press a rewritten draft answers, and what is deleted
-- on the blog again.

ALTER TABLE drafts ADD COLUMN seed INTEGER;
ALTER TABLE drafts ADD COLUMN input_tokens INTEGER;
ALTER TABLE drafts ADD COLUMN output_tokens INTEGER;
ALTER TABLE drafts ADD COLUMN findings TEXT NOT NULL DEFAULT '[]';  -- JSON list of {"kind", "sentence"}: what the guards found
ALTER TABLE drafts ADD COLUMN held_back INTEGER NOT NULL DEFAULT 0 CHECK (held_back IN (0, 1));
ALTER TABLE drafts ADD COLUMN closeness REAL;                       -- 0 to 1, to training data; NULL: not looked at
ALTER TABLE drafts ADD COLUMN closest TEXT;                         -- JSON {"text", "url"} of the post it is closest to
ALTER TABLE drafts ADD COLUMN rewrites INTEGER NOT NULL DEFAULT 0;

-- An approved draft's turn, where publishing is spread over time: the courier does not send it before that, and one for
-- Tumblr's queue is sent at once, with this as its `publish_on`.
ALTER TABLE drafts ADD COLUMN publish_at REAL;

-- The press of Regenerate that this draft was written for: a draft that was brought back can be regenerated again.
ALTER TABLE drafts ADD COLUMN regeneration_id INTEGER REFERENCES decisions (id);
UPDATE drafts SET regeneration_id =
    (SELECT max(id) FROM decisions WHERE draft_id = drafts.replaces AND action = 'regenerate')
    WHERE replaces IS NOT NULL;
CREATE INDEX drafts_by_regeneration ON drafts (regeneration_id) WHERE regeneration_id IS NOT NULL;

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
CREATE UNIQUE INDEX one_open_removal_of_a_draft ON removals (draft_id) WHERE state IN ('asked', 'sending', 'unknown');
