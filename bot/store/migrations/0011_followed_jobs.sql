-- An offer to follow a job that is under way at the service says so itself: a press begins what was shown.

ALTER TABLE training_offers ADD COLUMN service_job_id TEXT NOT NULL DEFAULT '';
