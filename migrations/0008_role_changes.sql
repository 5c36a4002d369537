ALTER TABLE "approvals" DROP CONSTRAINT "approvals_operation";--> statement-breakpoint
ALTER TABLE "approvals" ALTER COLUMN "machine_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "approvals" ALTER COLUMN "machine_name" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "approvals" ADD COLUMN "concerns" text;--> statement-breakpoint
CREATE UNIQUE INDEX "approvals_one_open_of_person" ON "approvals" USING btree ("concerns") WHERE ("approvals"."state" in ('pending', 'approved', 'executing'));--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_about" CHECK (("approvals"."operation" = 'change-approvers') = ("approvals"."concerns" is not null)
        and ("approvals"."machine_id" is null) = ("approvals"."concerns" is not null) and ("approvals"."machine_name" is null) = ("approvals"."machine_id" is null));--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_concerns" CHECK ("approvals"."concerns" ~ '^[a-z0-9][a-z0-9._-]{0,62}$');--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_break_glass_machine" CHECK (not "approvals"."is_break_glass" or "approvals"."machine_id" is not null);--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_operation" CHECK (("approvals"."operation" in ('planned-failover', 'raise-threshold', 'change-approvers')));
--> statement-breakpoint
-- What must never be, also when our own code is wrong: another person than the one that people decided about, and a vote about one's own rights.
CREATE FUNCTION approvals_concerns_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what an approval asks for never changes' USING ERRCODE = 'check_violation', CONSTRAINT = 'approvals_fixed';
END $$;
--> statement-breakpoint
CREATE TRIGGER approvals_concerns_guard BEFORE UPDATE ON approvals
  FOR EACH ROW WHEN (NEW.concerns IS DISTINCT FROM OLD.concerns) EXECUTE FUNCTION approvals_concerns_guard();
--> statement-breakpoint
CREATE FUNCTION approval_votes_concerns_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM approvals WHERE id = NEW.approval_id AND concerns = NEW.person) THEN
    RAISE EXCEPTION 'nobody decides about their own rights' USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_votes_own_rights';
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER approval_votes_concerns_guard BEFORE INSERT OR UPDATE ON approval_votes
  FOR EACH ROW EXECUTE FUNCTION approval_votes_concerns_guard();
