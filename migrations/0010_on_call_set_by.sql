ALTER TABLE "approvals" DROP CONSTRAINT "approvals_about";--> statement-breakpoint
ALTER TABLE "on_call" ADD COLUMN "set_by" text;--> statement-breakpoint
ALTER TABLE "on_call" ADD COLUMN "set_at" timestamp (3) with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "approvals_one_open_of_tags" ON "approvals" USING btree ("machine_name") WHERE "approvals"."machine_id" is null and ("approvals"."state" in ('pending', 'approved', 'executing'));--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_about" CHECK (("approvals"."operation" = 'change-approvers') = ("approvals"."machine_id" is null)
        and ("approvals"."machine_id" is null or "approvals"."concerns" is null) and ("approvals"."machine_name" is null) = ("approvals"."concerns" is not null));