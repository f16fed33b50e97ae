-- A dataset that somebody deleted: its examples and texts are gone, its number stays, for trainings and voices name it.

ALTER TABLE datasets ADD COLUMN deleted_at REAL;  -- NULL: it is there
