-- Everything is JSON text or plain columns, so that any SQLite tool can read it in ten years.
-- Rows name their session by its id, not by a key: a row that survives damage to the others
-- still says whose it is. The comments stay outside of the statements, because the text of a
-- statement is stored in the first page.

-- Serial numbers below `next` may have been used. The file beside the database holds the same.
CREATE TABLE numbers (id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER NOT NULL);
INSERT INTO numbers (id, next) VALUES (1, 1);

-- What lists and searches show. A session without a summary is not listed.
CREATE TABLE sessions (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  modified_at TEXT,
  title TEXT NOT NULL DEFAULT '',
  summary_json TEXT
);
CREATE INDEX sessions_by_time ON sessions (modified_at, id) WHERE summary_json IS NOT NULL;

-- The state without its completed turns; apart from the summaries, so that a list of a
-- thousand sessions reads none of it.
CREATE TABLE states (key INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE, state_json TEXT NOT NULL);

-- Completed turns, whole. Ordinals of a session are 0, 1, 2 … without gaps.
CREATE TABLE turns (
  key INTEGER PRIMARY KEY,
  session TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  turn_id TEXT NOT NULL,
  json TEXT NOT NULL,
  text TEXT NOT NULL
);
CREATE UNIQUE INDEX turns_by_ordinal ON turns (session, ordinal);
CREATE UNIQUE INDEX turns_by_id ON turns (session, turn_id);

-- Actions since the state was put, in the order of their keys.
CREATE TABLE tail (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  session TEXT NOT NULL,
  channel TEXT NOT NULL,
  action_json TEXT NOT NULL
);
CREATE INDEX tail_by_session ON tail (session);

-- Processes to sweep after a kill. A pid that comes again belongs to a new process.
CREATE TABLE processes (
  pid INTEGER PRIMARY KEY,
  session TEXT NOT NULL,
  process_group INTEGER NOT NULL,
  start_time INTEGER NOT NULL
);

-- The search indexes hold no text of their own: they can be rebuilt from the tables.
CREATE VIRTUAL TABLE title_search USING fts5(
  title, content='sessions', content_rowid='key', tokenize="unicode61 remove_diacritics 2"
);
CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions BEGIN
  INSERT INTO title_search (rowid, title) VALUES (new.key, new.title);
END;
CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions BEGIN
  INSERT INTO title_search (title_search, rowid, title) VALUES ('delete', old.key, old.title);
END;
CREATE TRIGGER sessions_renamed AFTER UPDATE OF title ON sessions WHEN old.title <> new.title BEGIN
  INSERT INTO title_search (title_search, rowid, title) VALUES ('delete', old.key, old.title);
  INSERT INTO title_search (rowid, title) VALUES (new.key, new.title);
END;

CREATE VIRTUAL TABLE turn_search USING fts5(
  text, content='turns', content_rowid='key', tokenize="unicode61 remove_diacritics 2"
);
CREATE TRIGGER turns_inserted AFTER INSERT ON turns BEGIN
  INSERT INTO turn_search (rowid, text) VALUES (new.key, new.text);
END;
CREATE TRIGGER turns_deleted AFTER DELETE ON turns BEGIN
  INSERT INTO turn_search (turn_search, rowid, text) VALUES ('delete', old.key, old.text);
END;
CREATE TRIGGER turns_changed AFTER UPDATE OF text ON turns WHEN old.text <> new.text BEGIN
  INSERT INTO turn_search (turn_search, rowid, text) VALUES ('delete', old.key, old.text);
  INSERT INTO turn_search (rowid, text) VALUES (new.key, new.text);
END;

-- What is deleted leaves no words in the indexes.
INSERT INTO title_search (title_search, rank) VALUES ('secure-delete', 1);
INSERT INTO turn_search (turn_search, rank) VALUES ('secure-delete', 1);
