CREATE TABLE "alert_looks" (
	"id" integer PRIMARY KEY NOT NULL,
	"looked_at" timestamp (3) with time zone NOT NULL,
	"resumed_at" timestamp (3) with time zone NOT NULL,
	"queued_bytes" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "alert_looks_one" CHECK ("alert_looks"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "alert_watches" (
	"rule" text NOT NULL,
	"scope" text NOT NULL,
	"watch" jsonb NOT NULL,
	CONSTRAINT "alert_watches_rule_scope_pk" PRIMARY KEY("rule","scope")
);
--> statement-breakpoint
CREATE TABLE "alerts" (
	"id" text PRIMARY KEY NOT NULL,
	"rule" text NOT NULL,
	"scope" text NOT NULL,
	"severity" text NOT NULL,
	"state" text DEFAULT 'open' NOT NULL,
	"title" text NOT NULL,
	"text" text NOT NULL,
	"next_step" text NOT NULL,
	"machine_names" jsonb NOT NULL,
	"members" jsonb NOT NULL,
	"host" text,
	"group_scope" text,
	"revision" bigint DEFAULT 1 NOT NULL,
	"occurrences" integer DEFAULT 1 NOT NULL,
	"opened_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"changed_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"words_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"recovered_at" timestamp (3) with time zone,
	"owner" text,
	"confirmed_at" timestamp (3) with time zone,
	"reminder_count" integer DEFAULT 0 NOT NULL,
	"reminded_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"snoozed_until" timestamp (3) with time zone,
	"mute_kind" text,
	"mute_why" text,
	"escalation_level" integer DEFAULT 0 NOT NULL,
	"escalates_from" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "alerts_rule" CHECK (("alerts"."rule" in ('lag', 'agent-silent', 'process-server-behind', 'process-server-silent', 'resync-required', 'vault-unreachable', 'disk-filling', 'credential-expiring', 'drill-left-open', 'undeliverable-message', 'two-copies', 'review-due', 'flapping'))),
	CONSTRAINT "alerts_severity" CHECK (("alerts"."severity" in ('warning', 'critical'))),
	CONSTRAINT "alerts_state" CHECK (("alerts"."state" in ('open', 'acknowledged', 'snoozed', 'muted', 'recovered'))),
	CONSTRAINT "alerts_recovered" CHECK (("alerts"."state" = 'recovered') = ("alerts"."recovered_at" is not null)),
	CONSTRAINT "alerts_snoozed" CHECK (("alerts"."state" = 'snoozed') = ("alerts"."snoozed_until" is not null)),
	CONSTRAINT "alerts_acknowledged" CHECK (("alerts"."state" = 'acknowledged') = ("alerts"."confirmed_at" is not null)),
	CONSTRAINT "alerts_owned" CHECK ("alerts"."state" not in ('acknowledged', 'snoozed') or "alerts"."owner" is not null),
	CONSTRAINT "alerts_muted" CHECK (("alerts"."state" = 'muted') = ("alerts"."mute_kind" is not null)),
	CONSTRAINT "alerts_mute_why" CHECK (("alerts"."mute_kind" is null) = ("alerts"."mute_why" is null)),
	CONSTRAINT "alerts_mute_kind" CHECK (("alerts"."mute_kind" in ('person', 'maintenance', 'grouped'))),
	CONSTRAINT "alerts_escalation" CHECK ("alerts"."escalation_level" between 0 and 3)
);
--> statement-breakpoint
CREATE TABLE "alive_checks" (
	"engine" text PRIMARY KEY NOT NULL,
	"checked_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "pager_calls" (
	"id" text PRIMARY KEY NOT NULL,
	"about" text NOT NULL,
	"title" text NOT NULL,
	"text" text NOT NULL,
	"wanted_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"due_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"attempt_count" integer DEFAULT 0 NOT NULL,
	"sent_at" timestamp (3) with time zone,
	"given_up_at" timestamp (3) with time zone,
	"last_error" text,
	CONSTRAINT "pager_calls_ended" CHECK ("pager_calls"."sent_at" is null or "pager_calls"."given_up_at" is null)
);
--> statement-breakpoint
CREATE TABLE "approval_votes" (
	"approval_id" text NOT NULL,
	"person" text NOT NULL,
	"decision" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"via" text NOT NULL,
	"reason" text NOT NULL,
	"step_up" text NOT NULL,
	CONSTRAINT "approval_votes_approval_id_person_pk" PRIMARY KEY("approval_id","person"),
	CONSTRAINT "approval_votes_decision" CHECK (("approval_votes"."decision" in ('approve', 'reject'))),
	CONSTRAINT "approval_votes_step_up" CHECK (("approval_votes"."step_up" in ('totp', 'none'))),
	CONSTRAINT "approval_votes_proven" CHECK ("approval_votes"."decision" = 'reject' or "approval_votes"."step_up" = 'totp'),
	CONSTRAINT "approval_votes_reason" CHECK ("approval_votes"."decision" = 'approve' or "approval_votes"."reason" <> '')
);
--> statement-breakpoint
CREATE TABLE "approvals" (
	"id" text PRIMARY KEY NOT NULL,
	"revision" integer DEFAULT 1 NOT NULL,
	"operation" text NOT NULL,
	"machine_id" text NOT NULL,
	"machine_name" text NOT NULL,
	"state" text DEFAULT 'pending' NOT NULL,
	"digest" text NOT NULL,
	"params" jsonb NOT NULL,
	"needed_count" integer NOT NULL,
	"reason" text NOT NULL,
	"requested_by" text NOT NULL,
	"requested_via" text NOT NULL,
	"requested_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"not_before" timestamp (3) with time zone,
	"shown" jsonb NOT NULL,
	"is_break_glass" boolean DEFAULT false NOT NULL,
	"decided_by" text,
	"decided_at" timestamp (3) with time zone,
	"decision_reason" text,
	"measured" jsonb,
	"review_due_at" timestamp (3) with time zone,
	"reviewed_by" text,
	"reviewed_at" timestamp (3) with time zone,
	"review_note" text,
	CONSTRAINT "approvals_operation" CHECK (("approvals"."operation" in ('planned-failover', 'raise-threshold'))),
	CONSTRAINT "approvals_state" CHECK (("approvals"."state" in ('pending', 'approved', 'executing', 'rejected', 'expired', 'withdrawn', 'superseded', 'succeeded', 'failed', 'cancelled'))),
	CONSTRAINT "approvals_digest" CHECK ("approvals"."digest" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "approvals_needed" CHECK ("approvals"."needed_count" >= 1),
	CONSTRAINT "approvals_revision" CHECK ("approvals"."revision" >= 1),
	CONSTRAINT "approvals_reason" CHECK ("approvals"."reason" <> ''),
	CONSTRAINT "approvals_expire" CHECK ("approvals"."expires_at" > "approvals"."requested_at"),
	CONSTRAINT "approvals_not_before" CHECK ("approvals"."not_before" is null or "approvals"."not_before" < "approvals"."expires_at"),
	CONSTRAINT "approvals_decided" CHECK (("approvals"."state" = 'pending') = ("approvals"."decided_at" is null) and ("approvals"."decided_at" is null) = ("approvals"."decided_by" is null)),
	CONSTRAINT "approvals_rejected" CHECK ("approvals"."state" <> 'rejected' or "approvals"."decision_reason" <> ''),
	CONSTRAINT "approvals_measured" CHECK ("approvals"."measured" is null or "approvals"."state" = 'succeeded'),
	CONSTRAINT "approvals_break_glass" CHECK ("approvals"."is_break_glass" = ("approvals"."review_due_at" is not null)),
	CONSTRAINT "approvals_reviewed" CHECK (("approvals"."reviewed_by" is null) = ("approvals"."reviewed_at" is null) and ("approvals"."reviewed_by" is null) = ("approvals"."review_note" is null)
        and ("approvals"."reviewed_by" is null or ("approvals"."is_break_glass" and "approvals"."reviewed_by" <> "approvals"."requested_by")))
);
--> statement-breakpoint
CREATE TABLE "machine_thresholds" (
	"machine_id" text PRIMARY KEY NOT NULL,
	"warn_ms" bigint NOT NULL,
	"critical_ms" bigint NOT NULL,
	"set_by" text NOT NULL,
	"set_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "machine_thresholds_order" CHECK ("machine_thresholds"."warn_ms" >= 1000 and "machine_thresholds"."critical_ms" > "machine_thresholds"."warn_ms")
);
--> statement-breakpoint
CREATE TABLE "audit_chain" (
	"number" bigint PRIMARY KEY NOT NULL,
	"entry_id" bigint NOT NULL,
	"digest" text NOT NULL,
	CONSTRAINT "audit_chain_entry_id_unique" UNIQUE("entry_id"),
	CONSTRAINT "audit_chain_number" CHECK ("audit_chain"."number" >= 1),
	CONSTRAINT "audit_chain_digest" CHECK ("audit_chain"."digest" ~ '^[0-9a-f]{64}$')
);
--> statement-breakpoint
CREATE TABLE "audit_entries" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"who" text NOT NULL,
	"via" text NOT NULL,
	"what" text NOT NULL,
	"target" text NOT NULL,
	"detail" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "chat_places" (
	"surface" text NOT NULL,
	"tenant" text NOT NULL,
	"place" text NOT NULL,
	"reference" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"saved_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "chat_places_surface_tenant_place_pk" PRIMARY KEY("surface","tenant","place"),
	CONSTRAINT "chat_places_surface" CHECK (("chat_places"."surface" in ('slack', 'teams')))
);
--> statement-breakpoint
CREATE TABLE "chat_surfaces" (
	"surface" text NOT NULL,
	"tenant" text NOT NULL,
	"is_healthy" boolean NOT NULL,
	"detail" text DEFAULT '' NOT NULL,
	"reported_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"changed_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "chat_surfaces_surface_tenant_pk" PRIMARY KEY("surface","tenant"),
	CONSTRAINT "chat_surfaces_surface" CHECK (("chat_surfaces"."surface" in ('slack', 'teams')))
);
--> statement-breakpoint
CREATE TABLE "messages" (
	"id" text PRIMARY KEY NOT NULL,
	"number" bigserial NOT NULL,
	"surface" text NOT NULL,
	"tenant" text NOT NULL,
	"place" text NOT NULL,
	"kind" text NOT NULL,
	"topic" text,
	"parent_id" text,
	"digest_id" text,
	"content" jsonb,
	"severity" text NOT NULL,
	"is_notifying" boolean DEFAULT false NOT NULL,
	"state" text DEFAULT 'live' NOT NULL,
	"wanted_revision" bigint DEFAULT 1 NOT NULL,
	"delivered_revision" bigint DEFAULT 0 NOT NULL,
	"ref" jsonb,
	"wanted_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"due_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"leased_until" timestamp (3) with time zone,
	"leased_revision" bigint,
	"attempt_count" integer DEFAULT 0 NOT NULL,
	"last_error" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"delivered_at" timestamp (3) with time zone,
	"ended_at" timestamp (3) with time zone,
	CONSTRAINT "messages_number_unique" UNIQUE("number"),
	CONSTRAINT "messages_surface" CHECK (("messages"."surface" in ('slack', 'teams'))),
	CONSTRAINT "messages_kind" CHECK (("messages"."kind" in ('copy', 'note', 'picture', 'direct', 'digest'))),
	CONSTRAINT "messages_severity" CHECK (("messages"."severity" in ('info', 'warning', 'critical'))),
	CONSTRAINT "messages_state" CHECK (("messages"."state" in ('live', 'superseded', 'undeliverable'))),
	CONSTRAINT "messages_revision" CHECK ("messages"."delivered_revision" between 0 and "messages"."wanted_revision"),
	CONSTRAINT "messages_copy" CHECK (("messages"."kind" = 'copy') <= ("messages"."topic" is not null and "messages"."content" is null)),
	CONSTRAINT "messages_in_thread" CHECK (("messages"."kind" in ('note', 'picture')) = ("messages"."parent_id" is not null)),
	CONSTRAINT "messages_content" CHECK (("messages"."kind" in ('note', 'picture', 'direct')) = ("messages"."content" is not null)),
	CONSTRAINT "messages_lease" CHECK (("messages"."leased_until" is null) = ("messages"."leased_revision" is null)),
	CONSTRAINT "messages_delivered" CHECK (("messages"."delivered_revision" > 0) <= ("messages"."ref" is not null)),
	CONSTRAINT "messages_ended" CHECK (("messages"."state" = 'live') = ("messages"."ended_at" is null))
);
--> statement-breakpoint
CREATE TABLE "subscriptions" (
	"surface" text NOT NULL,
	"tenant" text NOT NULL,
	"place" text NOT NULL,
	"host" text DEFAULT '' NOT NULL,
	"severity_min" text NOT NULL,
	"subscribed_by" text NOT NULL,
	"subscribed_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "subscriptions_surface_tenant_place_host_pk" PRIMARY KEY("surface","tenant","place","host"),
	CONSTRAINT "subscriptions_surface" CHECK (("subscriptions"."surface" in ('slack', 'teams'))),
	CONSTRAINT "subscriptions_severity" CHECK (("subscriptions"."severity_min" in ('info', 'warning', 'critical')))
);
--> statement-breakpoint
CREATE TABLE "authenticators" (
	"person" text PRIMARY KEY NOT NULL,
	"sealed_secret" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"confirmed_at" timestamp (3) with time zone,
	CONSTRAINT "authenticators_sealed" CHECK ("authenticators"."sealed_secret" ~ '^[0-9a-f]{24}\.[0-9a-f]+\.[0-9a-f]{32}$')
);
--> statement-breakpoint
CREATE TABLE "burned_codes" (
	"person" text NOT NULL,
	"step" integer NOT NULL,
	"burned_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "burned_codes_person_step_pk" PRIMARY KEY("person","step")
);
--> statement-breakpoint
CREATE TABLE "chat_links" (
	"surface" text NOT NULL,
	"tenant" text NOT NULL,
	"chat_user" text NOT NULL,
	"person" text NOT NULL,
	"display_name" text DEFAULT '' NOT NULL,
	"linked_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "chat_links_surface_tenant_chat_user_pk" PRIMARY KEY("surface","tenant","chat_user"),
	CONSTRAINT "chat_links_surface" CHECK (("chat_links"."surface" in ('slack', 'teams'))),
	CONSTRAINT "chat_links_identity" CHECK ("chat_links"."tenant" <> '' and "chat_links"."chat_user" <> '')
);
--> statement-breakpoint
CREATE TABLE "grants" (
	"person" text NOT NULL,
	"role" text NOT NULL,
	"scope_kind" text NOT NULL,
	"scope_value" text NOT NULL,
	"granted_by" text NOT NULL,
	"granted_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "grants_person_role_scope_kind_scope_value_pk" PRIMARY KEY("person","role","scope_kind","scope_value"),
	CONSTRAINT "grants_role" CHECK (("grants"."role" in ('viewer', 'operator', 'approver', 'admin'))),
	CONSTRAINT "grants_scope" CHECK (("grants"."scope_kind" in ('everything', 'machine', 'tag'))),
	CONSTRAINT "grants_scope_value" CHECK (("grants"."scope_kind" = 'everything') = ("grants"."scope_value" = ''))
);
--> statement-breakpoint
CREATE TABLE "link_codes" (
	"code_hash" text PRIMARY KEY NOT NULL,
	"person" text,
	"surface" text,
	"tenant" text,
	"chat_user" text,
	"display_name" text DEFAULT '' NOT NULL,
	"is_set_up" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"used_at" timestamp (3) with time zone,
	CONSTRAINT "link_codes_hash" CHECK ("link_codes"."code_hash" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "link_codes_one_side" CHECK (("link_codes"."person" is null) = ("link_codes"."chat_user" is not null)),
	CONSTRAINT "link_codes_chat_side" CHECK (("link_codes"."chat_user" is null) = ("link_codes"."surface" is null) and ("link_codes"."chat_user" is null) = ("link_codes"."tenant" is null)),
	CONSTRAINT "link_codes_used_in_time" CHECK ("link_codes"."used_at" is null or "link_codes"."used_at" <= "link_codes"."expires_at")
);
--> statement-breakpoint
CREATE TABLE "machine_tags" (
	"machine_name" text NOT NULL,
	"tag" text NOT NULL,
	"tagged_by" text NOT NULL,
	"tagged_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "machine_tags_machine_name_tag_pk" PRIMARY KEY("machine_name","tag"),
	CONSTRAINT "machine_tags_tag" CHECK ("machine_tags"."tag" ~ '^[a-z0-9][a-z0-9:._-]{0,59}$')
);
--> statement-breakpoint
CREATE TABLE "on_call" (
	"position" integer PRIMARY KEY NOT NULL,
	"person" text NOT NULL,
	CONSTRAINT "on_call_person" UNIQUE("person"),
	CONSTRAINT "on_call_position" CHECK ("on_call"."position" >= 0)
);
--> statement-breakpoint
CREATE TABLE "persons" (
	"name" text PRIMARY KEY NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"disabled_at" timestamp (3) with time zone,
	CONSTRAINT "persons_name" CHECK ("persons"."name" ~ '^[a-z0-9][a-z0-9._-]{0,62}$')
);
--> statement-breakpoint
CREATE TABLE "wrong_tries" (
	"guesser" text PRIMARY KEY NOT NULL,
	"count" integer NOT NULL,
	"last_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"locked_until" timestamp (3) with time zone,
	CONSTRAINT "wrong_tries_count" CHECK ("wrong_tries"."count" >= 0)
);
--> statement-breakpoint
CREATE TABLE "failovers" (
	"id" text PRIMARY KEY NOT NULL,
	"machine_id" text NOT NULL,
	"run_id" text NOT NULL,
	"state" text NOT NULL,
	"pinned_point_id" text,
	"point" jsonb,
	"vm_name" text NOT NULL,
	"handle" jsonb,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"ended_at" timestamp (3) with time zone,
	CONSTRAINT "failovers_run_id_unique" UNIQUE("run_id"),
	CONSTRAINT "failovers_state" CHECK (("failovers"."state" in ('starting', 'hydrating', 'local', 'removing', 'removed'))),
	CONSTRAINT "failovers_ended" CHECK (("failovers"."state" = 'removed') = ("failovers"."ended_at" is not null)),
	CONSTRAINT "failovers_pin" CHECK (case when "failovers"."state" = 'hydrating' then "failovers"."pinned_point_id" is not null and "failovers"."handle" is not null
        when ("failovers"."state" in ('local', 'removed')) then "failovers"."pinned_point_id" is null else true end)
);
--> statement-breakpoint
ALTER TABLE "agent_requests" DROP CONSTRAINT "agent_requests_kind";--> statement-breakpoint
ALTER TABLE "protected_machines" DROP CONSTRAINT "protected_machines_protection";--> statement-breakpoint
ALTER TABLE "protected_machines" DROP CONSTRAINT "protected_machines_protection_data";--> statement-breakpoint
ALTER TABLE "runs" DROP CONSTRAINT "runs_kind";--> statement-breakpoint
ALTER TABLE "agent_requests" ADD COLUMN "run_id" text;--> statement-breakpoint
ALTER TABLE "agent_requests" ADD COLUMN "limit_ms" integer;--> statement-breakpoint
ALTER TABLE "agent_requests" ADD COLUMN "result" jsonb;--> statement-breakpoint
ALTER TABLE "protected_machines" ADD COLUMN "is_held" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "protected_machines" ADD COLUMN "running_although_held_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "approval_id" text;--> statement-breakpoint
ALTER TABLE "approval_votes" ADD CONSTRAINT "approval_votes_approval_id_approvals_id_fk" FOREIGN KEY ("approval_id") REFERENCES "public"."approvals"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_machine_id_protected_machines_id_fk" FOREIGN KEY ("machine_id") REFERENCES "public"."protected_machines"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "machine_thresholds" ADD CONSTRAINT "machine_thresholds_machine_id_protected_machines_id_fk" FOREIGN KEY ("machine_id") REFERENCES "public"."protected_machines"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "audit_chain" ADD CONSTRAINT "audit_chain_entry_id_audit_entries_id_fk" FOREIGN KEY ("entry_id") REFERENCES "public"."audit_entries"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_parent_id_messages_id_fk" FOREIGN KEY ("parent_id") REFERENCES "public"."messages"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_digest_id_messages_id_fk" FOREIGN KEY ("digest_id") REFERENCES "public"."messages"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "authenticators" ADD CONSTRAINT "authenticators_person_persons_name_fk" FOREIGN KEY ("person") REFERENCES "public"."persons"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "burned_codes" ADD CONSTRAINT "burned_codes_person" FOREIGN KEY ("person") REFERENCES "public"."persons"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "chat_links" ADD CONSTRAINT "chat_links_person_persons_name_fk" FOREIGN KEY ("person") REFERENCES "public"."persons"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "grants" ADD CONSTRAINT "grants_person_persons_name_fk" FOREIGN KEY ("person") REFERENCES "public"."persons"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "link_codes" ADD CONSTRAINT "link_codes_person_persons_name_fk" FOREIGN KEY ("person") REFERENCES "public"."persons"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "on_call" ADD CONSTRAINT "on_call_person_persons_name_fk" FOREIGN KEY ("person") REFERENCES "public"."persons"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "failovers" ADD CONSTRAINT "failovers_machine_id_protected_machines_id_fk" FOREIGN KEY ("machine_id") REFERENCES "public"."protected_machines"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "failovers" ADD CONSTRAINT "failovers_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "failovers" ADD CONSTRAINT "failovers_pinned_point_id_recovery_points_id_fk" FOREIGN KEY ("pinned_point_id") REFERENCES "public"."recovery_points"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "alerts_one_open" ON "alerts" USING btree ("rule","scope") WHERE "alerts"."state" <> 'recovered';--> statement-breakpoint
CREATE INDEX "alerts_opened" ON "alerts" USING btree ("opened_at");--> statement-breakpoint
CREATE INDEX "pager_calls_wanted" ON "pager_calls" USING btree ("due_at") WHERE "pager_calls"."sent_at" is null and "pager_calls"."given_up_at" is null;--> statement-breakpoint
CREATE UNIQUE INDEX "approvals_one_open" ON "approvals" USING btree ("machine_id","operation") WHERE ("approvals"."state" in ('pending', 'approved', 'executing'));--> statement-breakpoint
CREATE INDEX "approvals_requested" ON "approvals" USING btree ("requested_at");--> statement-breakpoint
CREATE INDEX "audit_entries_target" ON "audit_entries" USING btree ("target");--> statement-breakpoint
CREATE INDEX "audit_entries_who" ON "audit_entries" USING btree ("who");--> statement-breakpoint
CREATE UNIQUE INDEX "messages_one_copy" ON "messages" USING btree ("surface","tenant","place","topic") WHERE "messages"."kind" = 'copy';--> statement-breakpoint
CREATE INDEX "messages_topic" ON "messages" USING btree ("topic");--> statement-breakpoint
CREATE INDEX "messages_undelivered" ON "messages" USING btree ("surface","tenant","due_at") WHERE "messages"."state" = 'live' and "messages"."delivered_revision" < "messages"."wanted_revision";--> statement-breakpoint
CREATE INDEX "messages_created" ON "messages" USING btree ("surface","tenant","created_at");--> statement-breakpoint
CREATE INDEX "messages_thread" ON "messages" USING btree ("parent_id");--> statement-breakpoint
CREATE INDEX "chat_links_person" ON "chat_links" USING btree ("person");--> statement-breakpoint
CREATE INDEX "machine_tags_tag" ON "machine_tags" USING btree ("tag");--> statement-breakpoint
CREATE UNIQUE INDEX "failovers_one_open" ON "failovers" USING btree ("machine_id") WHERE "failovers"."state" <> 'removed';--> statement-breakpoint
ALTER TABLE "agent_requests" ADD CONSTRAINT "agent_requests_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "agent_requests" ADD CONSTRAINT "agent_requests_one_of_run" UNIQUE("run_id","kind");--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_approval_id_unique" UNIQUE("approval_id");--> statement-breakpoint
ALTER TABLE "agent_requests" ADD CONSTRAINT "agent_requests_power" CHECK (("agent_requests"."kind" in ('shutdown', 'power-on')) = ("agent_requests"."run_id" is not null) and ("agent_requests"."kind" = 'shutdown') = ("agent_requests"."limit_ms" is not null));--> statement-breakpoint
ALTER TABLE "agent_requests" ADD CONSTRAINT "agent_requests_result" CHECK ("agent_requests"."result" is null or "agent_requests"."run_id" is not null);--> statement-breakpoint
ALTER TABLE "agent_requests" ADD CONSTRAINT "agent_requests_kind" CHECK (("agent_requests"."kind" in ('bookmark', 'resync', 'shutdown', 'power-on')));--> statement-breakpoint
ALTER TABLE "protected_machines" ADD CONSTRAINT "protected_machines_held" CHECK ("protected_machines"."protection_kind" <> 'failed-over' or "protected_machines"."is_held");--> statement-breakpoint
ALTER TABLE "protected_machines" ADD CONSTRAINT "protected_machines_held_running" CHECK ("protected_machines"."running_although_held_at" is null or "protected_machines"."is_held");--> statement-breakpoint
ALTER TABLE "protected_machines" ADD CONSTRAINT "protected_machines_protection" CHECK (("protected_machines"."protection_kind" in ('initial-replication', 'protected', 'failed-over')));--> statement-breakpoint
ALTER TABLE "protected_machines" ADD CONSTRAINT "protected_machines_protection_data" CHECK (case "protected_machines"."protection_kind" when 'initial-replication'
        then "protected_machines"."protection" ?& array['doneBytes', 'totalBytes', 'bytesPerSecond'] when 'failed-over'
        then "protected_machines"."protection" ?& array['runId', 'target', 'vmName', 'atMs', 'disks'] else "protected_machines"."protection" = '{}'::jsonb end);--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_approval" CHECK (("runs"."kind" = 'planned-failover') = ("runs"."approval_id" is not null));--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_kind" CHECK (("runs"."kind" in ('test-failover', 'cleanup', 'planned-failover')));