CREATE TABLE "agent_requests" (
	"id" text PRIMARY KEY NOT NULL,
	"machine_id" text NOT NULL,
	"kind" text NOT NULL,
	"reason" text NOT NULL,
	"application_consistent" boolean DEFAULT false NOT NULL,
	"requested_by" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"done_at" timestamp (3) with time zone,
	CONSTRAINT "agent_requests_kind" CHECK (("agent_requests"."kind" in ('bookmark', 'resync')))
);
--> statement-breakpoint
CREATE TABLE "agents" (
	"id" text PRIMARY KEY NOT NULL,
	"host_name" text NOT NULL,
	"agent_version" text DEFAULT '' NOT NULL,
	"certificate_fingerprint" text NOT NULL,
	"certificate_expires_at" timestamp (3) with time zone NOT NULL,
	"instance_id" uuid,
	"replaced_instance_id" uuid,
	"refused_instance_id" uuid,
	"last_seen_at" timestamp (3) with time zone,
	"enrolled_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "agents_fingerprint" CHECK ("agents"."certificate_fingerprint" ~ '^[0-9a-f]{64}$')
);
--> statement-breakpoint
CREATE TABLE "command_answers" (
	"key" text PRIMARY KEY NOT NULL,
	"person" text NOT NULL,
	"request_digest" text NOT NULL,
	"claimed_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"status" integer,
	"answer" jsonb,
	CONSTRAINT "command_answers_whole" CHECK (("command_answers"."status" is null) = ("command_answers"."answer" is null))
);
--> statement-breakpoint
CREATE TABLE "disks" (
	"id" text PRIMARY KEY NOT NULL,
	"machine_id" text NOT NULL,
	"key" text NOT NULL,
	"boot_order" integer NOT NULL,
	"size_bytes" bigint NOT NULL,
	"verified_position" jsonb,
	"compacted_sequence" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "disks_key" UNIQUE("machine_id","key"),
	CONSTRAINT "disks_boot_order" UNIQUE("machine_id","boot_order"),
	CONSTRAINT "disks_size" CHECK ("disks"."size_bytes" >= 1)
);
--> statement-breakpoint
CREATE TABLE "drills" (
	"id" text PRIMARY KEY NOT NULL,
	"machine_id" text NOT NULL,
	"run_id" text NOT NULL,
	"pinned_point_id" text,
	"point" jsonb NOT NULL,
	"state" text NOT NULL,
	"vm_name" text NOT NULL,
	"handle" jsonb,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"closed_at" timestamp (3) with time zone,
	CONSTRAINT "drills_run_id_unique" UNIQUE("run_id"),
	CONSTRAINT "drills_state" CHECK (("drills"."state" in ('starting', 'open', 'cleaning', 'closed'))),
	CONSTRAINT "drills_closed" CHECK (("drills"."state" = 'closed') = ("drills"."closed_at" is not null)),
	CONSTRAINT "drills_pin" CHECK (("drills"."state" = 'closed') = ("drills"."pinned_point_id" is null)),
	CONSTRAINT "drills_expire" CHECK ("drills"."expires_at" > "drills"."started_at")
);
--> statement-breakpoint
CREATE TABLE "effects" (
	"key" text PRIMARY KEY NOT NULL,
	"run_id" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"detail" jsonb
);
--> statement-breakpoint
CREATE TABLE "enrolment_tokens" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"host_name" text NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"used_at" timestamp (3) with time zone,
	"used_by_agent_id" text,
	CONSTRAINT "enrolment_tokens_hash" CHECK ("enrolment_tokens"."token_hash" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "enrolment_tokens_expire" CHECK ("enrolment_tokens"."expires_at" > "enrolment_tokens"."created_at"),
	CONSTRAINT "enrolment_tokens_used_once" CHECK (("enrolment_tokens"."used_at" is null) = ("enrolment_tokens"."used_by_agent_id" is null)),
	CONSTRAINT "enrolment_tokens_used_in_time" CHECK ("enrolment_tokens"."used_at" is null or "enrolment_tokens"."used_at" <= "enrolment_tokens"."expires_at")
);
--> statement-breakpoint
CREATE TABLE "events" (
	"number" bigserial PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"machine_name" text,
	"run_id" text,
	"kind" text NOT NULL,
	"text" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "executors" (
	"id" text PRIMARY KEY NOT NULL,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"heartbeat_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "guests" (
	"agent_id" text NOT NULL,
	"name" text NOT NULL,
	"kind" text NOT NULL,
	"tracking" text NOT NULL,
	"disks" jsonb NOT NULL,
	"hardware" jsonb NOT NULL,
	"unsupported" text,
	"reported_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "guests_agent_id_name_pk" PRIMARY KEY("agent_id","name"),
	CONSTRAINT "guests_kind" CHECK (("guests"."kind" in ('qemu-guest', 'disk-image')))
);
--> statement-breakpoint
CREATE TABLE "protected_machines" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"agent_id" text,
	"policy_name" text NOT NULL,
	"epoch" integer DEFAULT 1 NOT NULL,
	"kind" text NOT NULL,
	"protection_kind" text NOT NULL,
	"protection" jsonb NOT NULL,
	"paused_until" timestamp (3) with time zone,
	"pause_reason" text,
	"hardware" jsonb NOT NULL,
	"report" jsonb,
	"resync_required" text,
	"told_health" text DEFAULT 'unknown' NOT NULL,
	"sent_bytes_total" bigint DEFAULT 0 NOT NULL,
	"last_point_number" bigint DEFAULT 0 NOT NULL,
	"last_manifest_digest" text NOT NULL,
	"enabled_by" text NOT NULL,
	"enabled_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "protected_machines_name_unique" UNIQUE("name"),
	CONSTRAINT "protected_machines_kind" CHECK (("protected_machines"."kind" in ('qemu-guest', 'disk-image'))),
	CONSTRAINT "protected_machines_epoch" CHECK ("protected_machines"."epoch" >= 1),
	CONSTRAINT "protected_machines_protection" CHECK (("protected_machines"."protection_kind" in ('initial-replication', 'protected'))),
	CONSTRAINT "protected_machines_protection_data" CHECK (case "protected_machines"."protection_kind" when 'initial-replication'
        then "protected_machines"."protection" ?& array['doneBytes', 'totalBytes', 'bytesPerSecond'] else "protected_machines"."protection" = '{}'::jsonb end),
	CONSTRAINT "protected_machines_pause" CHECK (("protected_machines"."paused_until" is null) = ("protected_machines"."pause_reason" is null)),
	CONSTRAINT "protected_machines_told_health" CHECK (("protected_machines"."told_health" in ('healthy', 'warning', 'critical', 'unknown'))),
	CONSTRAINT "protected_machines_chain" CHECK ("protected_machines"."last_manifest_digest" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "protected_machines_point_number" CHECK ("protected_machines"."last_point_number" >= 0)
);
--> statement-breakpoint
CREATE TABLE "recovery_points" (
	"id" text PRIMARY KEY NOT NULL,
	"announced" bigserial NOT NULL,
	"machine_id" text NOT NULL,
	"capture_id" uuid NOT NULL,
	"epoch" integer NOT NULL,
	"kind" text NOT NULL,
	"state" text NOT NULL,
	"taken_at" timestamp (3) with time zone NOT NULL,
	"announced_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"reason" text NOT NULL,
	"pause_ms" double precision NOT NULL,
	"changed_bytes" bigint NOT NULL,
	"hardware" jsonb NOT NULL,
	"disks" jsonb NOT NULL,
	"number" bigint,
	"manifest" jsonb,
	"manifest_digest" text,
	"verified_at" timestamp (3) with time zone,
	"damage" text,
	CONSTRAINT "recovery_points_announced_unique" UNIQUE("announced"),
	CONSTRAINT "recovery_points_capture" UNIQUE("machine_id","capture_id"),
	CONSTRAINT "recovery_points_number" UNIQUE("machine_id","number"),
	CONSTRAINT "recovery_points_kind" CHECK (("recovery_points"."kind" in ('crash-consistent', 'application-consistent'))),
	CONSTRAINT "recovery_points_state" CHECK (("recovery_points"."state" in ('receiving', 'sealed', 'verified', 'available', 'damaged', 'expiring'))),
	CONSTRAINT "recovery_points_epoch" CHECK ("recovery_points"."epoch" >= 1),
	CONSTRAINT "recovery_points_sealed" CHECK (case when ("recovery_points"."state" in ('sealed', 'verified', 'available', 'expiring')) then
        "recovery_points"."manifest_digest" is not null and "recovery_points"."manifest" is not null and "recovery_points"."number" >= 1
        when "recovery_points"."state" = 'receiving' then "recovery_points"."manifest_digest" is null else true end),
	CONSTRAINT "recovery_points_digest" CHECK ("recovery_points"."manifest_digest" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "recovery_points_verified" CHECK (not ("recovery_points"."state" in ('verified', 'available')) or "recovery_points"."verified_at" is not null),
	CONSTRAINT "recovery_points_damage" CHECK (("recovery_points"."state" = 'damaged') <= ("recovery_points"."damage" is not null))
);
--> statement-breakpoint
CREATE TABLE "replication_policies" (
	"name" text PRIMARY KEY NOT NULL,
	"crash_consistent_every_ms" bigint NOT NULL,
	"rpo_threshold_ms" bigint NOT NULL,
	"retention_ms" bigint NOT NULL,
	"drill_limit_ms" bigint NOT NULL,
	CONSTRAINT "replication_policies_every" CHECK ("replication_policies"."crash_consistent_every_ms" >= 1000),
	CONSTRAINT "replication_policies_threshold" CHECK ("replication_policies"."rpo_threshold_ms" >= "replication_policies"."crash_consistent_every_ms"),
	CONSTRAINT "replication_policies_retention" CHECK ("replication_policies"."retention_ms" >= "replication_policies"."crash_consistent_every_ms"),
	CONSTRAINT "replication_policies_drill" CHECK ("replication_policies"."drill_limit_ms" >= 1000)
);
--> statement-breakpoint
CREATE TABLE "run_steps" (
	"run_id" text NOT NULL,
	"position" integer NOT NULL,
	"name" text NOT NULL,
	"state" text DEFAULT 'pending' NOT NULL,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	CONSTRAINT "run_steps_run_id_position_pk" PRIMARY KEY("run_id","position"),
	CONSTRAINT "run_steps_name" UNIQUE("run_id","name"),
	CONSTRAINT "run_steps_state" CHECK (("run_steps"."state" in ('pending', 'running', 'done', 'failed', 'undone'))),
	CONSTRAINT "run_steps_started" CHECK (("run_steps"."state" = 'pending') <= ("run_steps"."started_at" is null)),
	CONSTRAINT "run_steps_finished" CHECK (("run_steps"."state" in ('done', 'failed', 'undone')) = ("run_steps"."finished_at" is not null))
);
--> statement-breakpoint
CREATE TABLE "runs" (
	"id" text PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"machine_id" text NOT NULL,
	"requested_by" text NOT NULL,
	"idempotency_key" text NOT NULL,
	"plan" jsonb NOT NULL,
	"plan_digest" text NOT NULL,
	"state" text DEFAULT 'active' NOT NULL,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"finished_at" timestamp (3) with time zone,
	"failure" text,
	"result" jsonb,
	CONSTRAINT "runs_idempotency_key_unique" UNIQUE("idempotency_key"),
	CONSTRAINT "runs_kind" CHECK (("runs"."kind" in ('test-failover', 'cleanup'))),
	CONSTRAINT "runs_state" CHECK (("runs"."state" in ('active', 'succeeded', 'failed'))),
	CONSTRAINT "runs_plan_digest" CHECK ("runs"."plan_digest" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "runs_finished" CHECK (("runs"."state" = 'active') = ("runs"."finished_at" is null)),
	CONSTRAINT "runs_failure" CHECK (("runs"."state" = 'failed') = ("runs"."failure" is not null)),
	CONSTRAINT "runs_result" CHECK ("runs"."result" is null or "runs"."state" = 'succeeded')
);
--> statement-breakpoint
ALTER TABLE "agent_requests" ADD CONSTRAINT "agent_requests_machine_id_protected_machines_id_fk" FOREIGN KEY ("machine_id") REFERENCES "public"."protected_machines"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "disks" ADD CONSTRAINT "disks_machine_id_protected_machines_id_fk" FOREIGN KEY ("machine_id") REFERENCES "public"."protected_machines"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "drills" ADD CONSTRAINT "drills_machine_id_protected_machines_id_fk" FOREIGN KEY ("machine_id") REFERENCES "public"."protected_machines"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "drills" ADD CONSTRAINT "drills_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "drills" ADD CONSTRAINT "drills_pinned_point_id_recovery_points_id_fk" FOREIGN KEY ("pinned_point_id") REFERENCES "public"."recovery_points"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "effects" ADD CONSTRAINT "effects_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "enrolment_tokens" ADD CONSTRAINT "enrolment_tokens_used_by_agent_id_agents_id_fk" FOREIGN KEY ("used_by_agent_id") REFERENCES "public"."agents"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "guests" ADD CONSTRAINT "guests_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "protected_machines" ADD CONSTRAINT "protected_machines_agent_id_agents_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "protected_machines" ADD CONSTRAINT "protected_machines_policy_name_replication_policies_name_fk" FOREIGN KEY ("policy_name") REFERENCES "public"."replication_policies"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "recovery_points" ADD CONSTRAINT "recovery_points_machine_id_protected_machines_id_fk" FOREIGN KEY ("machine_id") REFERENCES "public"."protected_machines"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "run_steps" ADD CONSTRAINT "run_steps_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_machine_id_protected_machines_id_fk" FOREIGN KEY ("machine_id") REFERENCES "public"."protected_machines"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "agent_requests_one_resync" ON "agent_requests" USING btree ("machine_id") WHERE "agent_requests"."kind" = 'resync' and "agent_requests"."done_at" is null;--> statement-breakpoint
CREATE UNIQUE INDEX "agents_one_per_host" ON "agents" USING btree ("host_name") WHERE "agents"."revoked_at" is null;--> statement-breakpoint
CREATE UNIQUE INDEX "drills_one_open" ON "drills" USING btree ("machine_id") WHERE "drills"."state" <> 'closed';--> statement-breakpoint
CREATE UNIQUE INDEX "drills_one_vm_name" ON "drills" USING btree ("vm_name") WHERE "drills"."state" <> 'closed';--> statement-breakpoint
CREATE INDEX "events_at" ON "events" USING btree ("at");--> statement-breakpoint
CREATE INDEX "recovery_points_machine" ON "recovery_points" USING btree ("machine_id","taken_at");--> statement-breakpoint
CREATE UNIQUE INDEX "runs_one_active" ON "runs" USING btree ("machine_id") WHERE "runs"."state" = 'active';