-- Whose blogs may be kept, and passes that look at a whole blog again.

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
CREATE UNIQUE INDEX one_consent_for_a_blog ON consents (blog_uuid) WHERE revoked_at IS NULL;

-- The pass over a blog that is under way: 'new' looks for what is newer, 'full' looks at every post again, and
-- 'settling' asks after those that a full pass has not seen. NULL: none.
ALTER TABLE blogs ADD COLUMN pass_stage TEXT CHECK (pass_stage IN ('new', 'full', 'settling'));
-- When it began: what was seen since then was seen by this pass.
ALTER TABLE blogs ADD COLUMN pass_since REAL;
ALTER TABLE blogs ADD COLUMN full_pass_ended_at REAL;
UPDATE blogs SET pass_stage = 'new', pass_since = 0 WHERE cursor IS NOT NULL;

-- When posts were last seen is asked of whole blogs, and stands behind the raw JSON in each row.
CREATE INDEX posts_by_sight ON posts (blog_uuid, seen_at);

-- Posts that are removed are removed from every dataset too, a few hundred at a time.
CREATE INDEX examples_by_post ON examples (blog_uuid, post_id) WHERE post_id IS NOT NULL;
