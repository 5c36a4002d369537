CREATE TABLE "audit_checks" (
	"id" integer PRIMARY KEY NOT NULL,
	"checked_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"problem" text,
	CONSTRAINT "audit_checks_one" CHECK ("audit_checks"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "bot_credentials" (
	"bot_name" text NOT NULL,
	"host" text NOT NULL,
	"name" text NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"is_renewed_by_itself" boolean NOT NULL,
	"next_step" text NOT NULL,
	"reported_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "bot_credentials_bot_name_host_name_pk" PRIMARY KEY("bot_name","host","name")
);
--> statement-breakpoint
ALTER TABLE "alerts" DROP CONSTRAINT "alerts_rule";--> statement-breakpoint
ALTER TABLE "console_sessions" DROP CONSTRAINT "console_sessions_ended_why";--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "step" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "alerts" ADD CONSTRAINT "alerts_rule" CHECK (("alerts"."rule" in ('lag', 'agent-silent', 'process-server-behind', 'process-server-silent', 'resync-required', 'vault-unreachable', 'disk-filling', 'credential-expiring', 'drill-left-open', 'undeliverable-message', 'two-copies', 'review-due', 'audit-tampered', 'flapping')));--> statement-breakpoint
ALTER TABLE "console_sessions" ADD CONSTRAINT "console_sessions_ended_why" CHECK (("console_sessions"."ended_why" in ('signed-out', 'signed-out-everywhere', 'too-many', 'disabled', 'unlinked', 'authenticator-reset')));