ALTER TABLE "protected_machines" DROP CONSTRAINT "protected_machines_told_health";--> statement-breakpoint
ALTER TABLE "protected_machines" DROP COLUMN "told_health";