-- The audit trail is append-only, and chained (engine/store/audit-schema.ts, engine/store/audit.ts).
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit trail is append-only: % of % is forbidden', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'audit_append_only';
END $$;
--> statement-breakpoint
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
  FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
--> statement-breakpoint
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
--> statement-breakpoint
CREATE TRIGGER audit_chain_append_only BEFORE UPDATE OR DELETE ON audit_chain
  FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
--> statement-breakpoint
CREATE TRIGGER audit_chain_no_truncate BEFORE TRUNCATE ON audit_chain
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
--> statement-breakpoint
-- Each field with its length before it, so that no two rows have the same text.
CREATE FUNCTION audit_field(field text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT octet_length(convert_to(field, 'UTF8'))::text || ':' || field
$$;
--> statement-breakpoint
-- Links what was committed since the last time, in the order of its numbers. The writers of entries wait for nobody: the chain's
-- lock is taken here only. A transaction lives a minute at most; far fewer entries than the window are written meanwhile.
CREATE FUNCTION audit_link_entries() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  window_start bigint;
  last_number bigint;
  last_digest text;
  entry audit_entries%ROWTYPE;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('audit chain', 0));
  SELECT number, digest INTO last_number, last_digest FROM audit_chain ORDER BY number DESC LIMIT 1;
  SELECT coalesce(max(entry_id), 0) - 20000 INTO window_start FROM audit_chain;
  last_number := coalesce(last_number, 0);
  last_digest := coalesce(last_digest, repeat('0', 64));
  FOR entry IN
    SELECT e.* FROM audit_entries e
      WHERE e.id > window_start AND NOT EXISTS (SELECT FROM audit_chain c WHERE c.entry_id = e.id)
      ORDER BY e.id
  LOOP
    last_number := last_number + 1;
    last_digest := encode(sha256(convert_to(
      'lifeboat-audit/1' || last_digest
        || audit_field(last_number::text)
        || audit_field(((extract(epoch FROM entry.at) * 1000)::bigint)::text)
        || audit_field(entry.who) || audit_field(entry.via) || audit_field(entry.what)
        || audit_field(entry.target) || audit_field(entry.detail), 'UTF8')), 'hex');
    INSERT INTO audit_chain (number, entry_id, digest) VALUES (last_number, entry.id, last_digest);
  END LOOP;
  RETURN last_number;
END $$;
