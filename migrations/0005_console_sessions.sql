CREATE TABLE "console_addresses" (
	"bot_name" text PRIMARY KEY NOT NULL,
	"url" text NOT NULL,
	"reported_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "console_addresses_url" CHECK ("console_addresses"."url" like 'https://%')
);
--> statement-breakpoint
CREATE TABLE "console_links" (
	"code_hash" text PRIMARY KEY NOT NULL,
	"person" text NOT NULL,
	"made_via" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"used_at" timestamp (3) with time zone,
	CONSTRAINT "console_links_hash" CHECK ("console_links"."code_hash" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "console_links_used_in_time" CHECK ("console_links"."used_at" is null or "console_links"."used_at" <= "console_links"."expires_at")
);
--> statement-breakpoint
CREATE TABLE "console_sessions" (
	"id" text PRIMARY KEY NOT NULL,
	"token_hash" text NOT NULL,
	"person" text NOT NULL,
	"address" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"last_used_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"ended_at" timestamp (3) with time zone,
	"ended_why" text,
	CONSTRAINT "console_sessions_hash" CHECK ("console_sessions"."token_hash" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "console_sessions_life" CHECK ("console_sessions"."expires_at" > "console_sessions"."created_at"),
	CONSTRAINT "console_sessions_end" CHECK (("console_sessions"."ended_at" is null) = ("console_sessions"."ended_why" is null)),
	CONSTRAINT "console_sessions_ended_why" CHECK (("console_sessions"."ended_why" in ('signed-out', 'signed-out-everywhere', 'too-many', 'disabled')))
);
--> statement-breakpoint
ALTER TABLE "console_links" ADD CONSTRAINT "console_links_person_persons_name_fk" FOREIGN KEY ("person") REFERENCES "public"."persons"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "console_sessions" ADD CONSTRAINT "console_sessions_person_persons_name_fk" FOREIGN KEY ("person") REFERENCES "public"."persons"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "console_links_person" ON "console_links" USING btree ("person");--> statement-breakpoint
CREATE UNIQUE INDEX "console_sessions_token" ON "console_sessions" USING btree ("token_hash");--> statement-breakpoint
CREATE INDEX "console_sessions_person" ON "console_sessions" USING btree ("person");