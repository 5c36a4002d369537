import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { slackManifest, slackScopes } from '../../../bot/slack/manifest.ts';

const root = path.join(import.meta.dirname, '../../..');
const shippedFile = 'docs/operations/slack-app-manifest.json';

/** The rules of Slack's published schema (slackapi/manifest-schema, 1.0.0) for the parts that we use, in our words. */
const url = z
  .string()
  .regex(/^https?:\/\//)
  .max(3000);
const published = z.strictObject({
  _metadata: z.strictObject({ major_version: z.literal(1), minor_version: z.int() }),
  display_information: z.strictObject({
    name: z.string().min(1).max(35),
    description: z.string().min(1).max(140),
    long_description: z.string().min(175).max(4000),
    background_color: z.string().regex(/^#[0-9a-fA-F]{3}([0-9a-fA-F]{3})?$/),
  }),
  features: z.strictObject({
    app_home: z.strictObject({
      home_tab_enabled: z.boolean(),
      messages_tab_enabled: z.boolean(),
      messages_tab_read_only_enabled: z.boolean(),
    }),
    bot_user: z.strictObject({ display_name: z.string().regex(/^[a-z0-9._-]{1,80}$/), always_online: z.boolean() }),
    shortcuts: z
      .array(
        z.strictObject({
          name: z.string().min(1).max(24),
          type: z.enum(['message', 'global']),
          callback_id: z.string().min(1).max(255),
          description: z.string().min(1).max(150),
        }),
      )
      .min(1)
      .max(10),
    slash_commands: z
      .array(
        z.strictObject({
          command: z.string().regex(/^\//).min(2).max(32),
          url: url.optional(),
          description: z.string().min(1).max(2000),
          usage_hint: z.string().min(1).max(1000),
          should_escape: z.boolean(),
        }),
      )
      .min(1)
      .max(50),
  }),
  oauth_config: z.strictObject({ scopes: z.strictObject({ bot: z.array(z.string().max(50)).max(255) }) }),
  settings: z.strictObject({
    event_subscriptions: z.strictObject({
      bot_events: z.array(z.string().max(50)).max(100),
      request_url: url.optional(),
    }),
    interactivity: z.strictObject({ is_enabled: z.boolean(), request_url: url.optional() }),
    org_deploy_enabled: z.boolean(),
    socket_mode_enabled: z.boolean(),
    token_rotation_enabled: z.boolean(),
  }),
});

describe('the manifest of the Slack app', () => {
  it('is shipped as the code makes it', () => {
    const shipped: unknown = JSON.parse(readFileSync(path.join(root, shippedFile), 'utf8'));
    expect(shipped).toEqual(slackManifest());
  });

  it.each([undefined, 'https://dr.example.com/slack/events'])(
    'keeps the rules of the published schema (%s)',
    (requestUrl) => {
      expect(published.safeParse(slackManifest(requestUrl)).error).toBeUndefined();
    },
  );

  it('asks for the scopes that the documentation explains, one by one, and for no other', () => {
    const guide = readFileSync(path.join(root, 'docs/operations/slack.md'), 'utf8');
    const table = guide.slice(guide.indexOf('| scope | why |'), guide.indexOf('It cannot read your messages'));
    const explained = [...table.matchAll(/^\| `([a-z_:.]+)` \|/gm)].map((match) => match[1]);
    expect(explained).toEqual(Object.keys(slackScopes));
    expect(slackManifest().oauth_config?.scopes?.bot).toEqual(Object.keys(slackScopes));
  });

  it('lets Slack escape names, because the grammar reads them', () => {
    expect(slackManifest().features?.slash_commands?.[0]).toMatchObject({ command: '/dr', should_escape: true });
  });
});
