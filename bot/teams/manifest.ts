import { z } from 'zod';

const guid = z.guid('an id looks like 11111111-2222-4333-8444-555555555555');
const httpsUrl = z.url({ protocol: /^https$/, error: 'must be an https address' }).max(2048);

/** What an administrator may say about the app; everything else is the same for everybody. */
export const packageOptions = z.object({
  appId: guid,
  /** How the bot is addressed: `@DR`. */
  name: z.string().trim().min(1).max(30).default('DR'),
  version: z
    .string()
    .regex(/^\d+\.\d+\.\d+$/, 'a version looks like 1.0.0')
    .default('1.0.0'),
  company: z.string().trim().min(1).max(32).default('Lifeboat'),
  website: httpsUrl.default('https://example.com/lifeboat'),
  privacy: httpsUrl.optional(),
  terms: httpsUrl.optional(),
});
export type PackageOptions = z.infer<typeof packageOptions>;

const scopes = ['personal', 'team', 'groupChat'] as const;

/** Shown above the text box; Teams shows ten at most. The grammar has more: `help` lists it. */
const commands = [
  ['help', 'What you may do here, with examples'],
  ['home', 'What waits for you, alerts, your runs and the worst lags'],
  ['status', 'How every machine is; `status vm-7` for one'],
  ['lag', 'How much data a failover now would lose'],
  ['alerts', 'What is wrong now, worst first'],
  ['approvals --mine', 'What waits for your decision'],
  ['points', 'Recovery points: points vm-7'],
  ['failover', 'failover vm-7 --test starts a copy apart from the original'],
  ['cleanup', 'Ends a drill and deletes its copy: cleanup vm-7'],
  ['link', 'Tells the bot who you are; in a private chat'],
] as const;

/**
 * The app's manifest, schema 1.17.
 *
 * All three scopes: without `personal` private messages from the bot silently never arrive. Of permissions only who speaks, and to
 * write to members of its teams; no tab, no domain, no reading along: the bot sees only what is said to it. Source: CHAT 1, 3.2
 */
export function teamsManifest(options: PackageOptions): object {
  const { appId, name, version, company, website } = options;
  return {
    $schema: 'https://developer.microsoft.com/en-us/json-schemas/teams/v1.17/MicrosoftTeams.schema.json',
    manifestVersion: '1.17',
    version,
    id: appId,
    developer: {
      name: company,
      websiteUrl: website,
      privacyUrl: options.privacy ?? website,
      termsOfUseUrl: options.terms ?? website,
    },
    name: { short: name, full: 'Lifeboat disaster recovery' },
    description: {
      short: 'Disaster recovery that on-call people run from chat',
      full:
        'Lifeboat replicates machines and starts them elsewhere. Here you see how they are, start drills, ask for and approve planned ' +
        'failovers, and get alerts when replication lags. Mention the bot in a channel, or write to it in a private chat; `help` ' +
        'says what you may do.',
    },
    icons: { color: 'color.png', outline: 'outline.png' },
    accentColor: '#0B3D5C',
    bots: [
      {
        botId: appId,
        scopes,
        isNotificationOnly: false,
        supportsFiles: false,
        supportsCalling: false,
        supportsVideo: false,
        commandLists: [{ scopes, commands: commands.map(([title, description]) => ({ title, description })) }],
      },
    ],
    permissions: ['identity', 'messageTeamMembers'],
    validDomains: [],
  };
}
