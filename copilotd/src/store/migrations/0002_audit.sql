-- What was asked, decided and done, by whom and why. Rows are only ever added: each has the
-- hash of the row before it and of itself, so that a row that was altered or taken out is found.
-- Only the oldest rows may go, and only when a row of the audit itself says so (`removedTo`).
-- They belong to no session: deleting a session leaves them.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  record_json TEXT NOT NULL,
  hash TEXT NOT NULL
);
CREATE INDEX audit_by_session ON audit (record_json ->> '$.session', seq);
CREATE INDEX audit_removals ON audit (record_json ->> '$.removedTo')
  WHERE record_json ->> '$.removedTo' IS NOT NULL;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
  SELECT raise(ABORT, 'the audit is append-only');
END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
WHEN old.seq > coalesce((SELECT max(record_json ->> '$.removedTo') FROM audit
                         WHERE record_json ->> '$.removedTo' IS NOT NULL), 0) BEGIN
  SELECT raise(ABORT, 'the audit is append-only');
END;
-- INSERT OR REPLACE would delete without asking the trigger above.
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE seq = new.seq) BEGIN
  SELECT raise(IGNORE);
END;
