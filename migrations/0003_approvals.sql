-- What must never be, also when our own code is wrong. Source: RELIABILITY 2b, I4; CHAT 5.2
CREATE FUNCTION approvals_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  allowed text[];
  approvers bigint;
  rejections bigint;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'approvals are never removed' USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_kept';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'pending' OR NEW.is_break_glass THEN
      RAISE EXCEPTION 'an approval begins as pending' USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_begin';
    END IF;
    RETURN NEW;
  END IF;
  IF (NEW.id, NEW.operation, NEW.machine_id, NEW.machine_name, NEW.digest, NEW.params, NEW.needed_count, NEW.reason,
      NEW.requested_by, NEW.requested_via, NEW.requested_at, NEW.expires_at, NEW.not_before)
    IS DISTINCT FROM
     (OLD.id, OLD.operation, OLD.machine_id, OLD.machine_name, OLD.digest, OLD.params, OLD.needed_count, OLD.reason,
      OLD.requested_by, OLD.requested_via, OLD.requested_at, OLD.expires_at, OLD.not_before) THEN
    RAISE EXCEPTION 'what an approval asks for never changes' USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_fixed';
  END IF;
  IF NEW.revision <> OLD.revision + 1 THEN
    RAISE EXCEPTION 'every change is a new revision' USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_revision_step';
  END IF;
  IF NEW.state = OLD.state THEN
    IF NEW.is_break_glass <> OLD.is_break_glass THEN
      RAISE EXCEPTION 'break-glass begins at once' USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_steps';
    END IF;
    RETURN NEW;
  END IF;
  allowed := CASE OLD.state
    WHEN 'pending' THEN ARRAY['approved', 'executing', 'rejected', 'expired', 'withdrawn', 'superseded']
    WHEN 'approved' THEN ARRAY['executing', 'rejected', 'expired', 'withdrawn', 'superseded']
    WHEN 'executing' THEN ARRAY['succeeded', 'failed', 'cancelled']
    ELSE ARRAY[]::text[] END;
  IF NOT (NEW.state = ANY (allowed)) THEN
    RAISE EXCEPTION 'approval %: % does not follow %', NEW.id, NEW.state, OLD.state
      USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_steps';
  END IF;
  IF NEW.is_break_glass AND NOT OLD.is_break_glass AND NEW.state <> 'executing' THEN
    RAISE EXCEPTION 'break-glass begins at once' USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_steps';
  END IF;
  IF NEW.state IN ('approved', 'executing') THEN
    IF NEW.expires_at <= clock_timestamp() THEN
      RAISE EXCEPTION 'approval % has expired', NEW.id USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_in_time';
    END IF;
    SELECT count(*) FILTER (WHERE decision = 'approve' AND person <> NEW.requested_by), count(*) FILTER (WHERE decision = 'reject')
      INTO approvers, rejections FROM approval_votes WHERE approval_id = NEW.id;
    IF rejections > 0 OR (approvers < NEW.needed_count AND NOT NEW.is_break_glass) THEN
      RAISE EXCEPTION 'approval % has % of % approvals', NEW.id, approvers, NEW.needed_count
        USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_quorum';
    END IF;
  END IF;
  IF NEW.state = 'executing' AND NEW.not_before > clock_timestamp() AND NOT NEW.is_break_glass THEN
    RAISE EXCEPTION 'approval % waits for its time', NEW.id USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_in_time';
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER approvals_guard BEFORE INSERT OR UPDATE OR DELETE ON approvals FOR EACH ROW EXECUTE FUNCTION approvals_guard();
--> statement-breakpoint
CREATE FUNCTION approval_votes_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  asked record;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'votes are never removed' USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_votes_kept';
  END IF;
  SELECT state, requested_by, expires_at INTO asked FROM approvals WHERE id = NEW.approval_id FOR UPDATE;
  IF NEW.person = asked.requested_by THEN
    RAISE EXCEPTION 'nobody decides about their own request' USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_votes_own_request';
  END IF;
  IF NOT (asked.state = 'pending' OR (asked.state = 'approved' AND NEW.decision = 'reject')) OR asked.expires_at <= clock_timestamp() THEN
    RAISE EXCEPTION 'approval % is decided', NEW.approval_id USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_votes_open';
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER approval_votes_guard BEFORE INSERT OR UPDATE OR DELETE ON approval_votes FOR EACH ROW EXECUTE FUNCTION approval_votes_guard();
--> statement-breakpoint
CREATE FUNCTION approved_runs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  agreed record;
BEGIN
  SELECT state, machine_id, operation, params INTO agreed FROM approvals WHERE id = NEW.approval_id;
  IF agreed.state IS DISTINCT FROM 'executing' OR agreed.operation <> 'planned-failover'
    OR agreed.machine_id <> NEW.machine_id OR agreed.params -> 'plan' IS DISTINCT FROM NEW.plan THEN
    RAISE EXCEPTION 'run % is not what an approval in force says', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'runs_approved';
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER approved_runs_guard BEFORE INSERT OR UPDATE OF kind, machine_id, plan, approval_id ON runs
  FOR EACH ROW WHEN (NEW.kind = 'planned-failover') EXECUTE FUNCTION approved_runs_guard();
