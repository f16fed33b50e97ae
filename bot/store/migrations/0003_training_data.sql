-- Where a dataset comes from, what its making left out, and the training file as it was written.

-- 'file': taken in from a training file that somebody edited by hand.
ALTER TABLE datasets ADD COLUMN source TEXT NOT NULL DEFAULT 'posts' CHECK (source IN ('posts', 'file'));
-- JSON: [{"reason", "count", "posts": [[blog_uuid, post_id], …], "kept": [[blog_uuid, post_id], …]}, …]; of the posts
-- the first fifty, and for duplicates what was kept in the place of each of them.
ALTER TABLE datasets ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]';

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

-- Which posts are no examples is counted and shown by reason.
CREATE INDEX posts_by_rejection ON posts (rejection, timestamp DESC) WHERE rejection IS NOT NULL;
