ALTER TABLE "agents" ADD COLUMN "site_name" text DEFAULT 'main' NOT NULL;--> statement-breakpoint
CREATE INDEX "recovery_points_available" ON "recovery_points" USING btree ("machine_id","taken_at","announced") WHERE "recovery_points"."state" = 'available';--> statement-breakpoint
CREATE INDEX "runs_of_machine" ON "runs" USING btree ("machine_id","started_at");--> statement-breakpoint
CREATE INDEX "runs_started" ON "runs" USING btree ("started_at");