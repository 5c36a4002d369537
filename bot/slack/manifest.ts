import type { webApi } from '@slack/bolt';

export type SlackManifest = webApi.AppsManifestValidateArguments['manifest'];
type BotScope = NonNullable<NonNullable<NonNullable<SlackManifest['oauth_config']>['scopes']>['bot']>[number];

/** The permissions that the app asks for, and why it needs each. There are no others. Source: CHAT 5.4 */
export const slackScopes = {
  commands: 'the slash command /dr and the message shortcut',
  'chat:write': 'answer, post approvals and alerts, and edit them in place',
  'chat:write.public': 'post into public channels that were subscribed without inviting the bot first',
  'users:read': 'see whether somebody is a member, a guest, an outsider or a bot; guests may not act',
  'usergroups:read': 'understand @oncall in `/dr oncall set @oncall`',
  'im:write': 'send direct messages: approval requests to approvers, outcomes to who asked',
  'files:write': 'upload console pictures, lag plots and audit files',
  'app_mentions:read': 'hear `@Lifeboat …` in threads, where Slack has no slash commands',
  'im:history': 'hear what is written to the app in its own message tab',
} as const satisfies Partial<Record<BotScope, string>>;

export const messageShortcutId = 'run_dr_here';

/**
 * The app's manifest, to paste at api.slack.com. `docs/operations/slack-app-manifest.json` is the one for Socket Mode.
 *
 * @param requestUrl HTTP mode only: where Slack reaches the bot, ending in `/slack/events`
 */
export function slackManifest(requestUrl?: string): SlackManifest {
  const url = requestUrl === undefined ? {} : { url: requestUrl };
  const requests = requestUrl === undefined ? {} : { request_url: requestUrl };
  return {
    _metadata: { major_version: 1, minor_version: 1 },
    display_information: {
      name: 'Lifeboat',
      description: 'Disaster recovery from chat: test failovers, planned failovers with approval, replication alerts',
      long_description:
        'Lifeboat replicates the disks of virtual and physical machines and starts them again from any recovery point. ' +
        'With /dr you see how every machine is protected, run drills, ask for planned failovers and approve them. ' +
        'Approvals need another person and a six-digit code. Lifeboat posts by itself when replication lags or a host falls silent.',
      background_color: '#0b3d5c',
    },
    features: {
      app_home: { home_tab_enabled: true, messages_tab_enabled: true, messages_tab_read_only_enabled: false },
      bot_user: { display_name: 'lifeboat', always_online: true },
      shortcuts: [
        {
          type: 'message',
          name: 'Run /dr here',
          callback_id: messageShortcutId,
          description: 'Runs a command of /dr and answers in this thread',
        },
      ],
      slash_commands: [
        {
          command: '/dr',
          description: 'Disaster recovery: status, drills, failovers, approvals, alerts',
          usage_hint: 'help | status [vm] | failover <vm> --test | approvals | alerts',
          should_escape: true,
          ...url,
        },
      ],
    },
    oauth_config: { scopes: { bot: Object.keys(slackScopes).filter(isScope) } },
    settings: {
      event_subscriptions: { bot_events: ['app_home_opened', 'app_mention', 'message.im'], ...requests },
      interactivity: { is_enabled: true, ...requests },
      org_deploy_enabled: false,
      socket_mode_enabled: requestUrl === undefined,
      token_rotation_enabled: false,
    },
  };
}

function isScope(name: string): name is keyof typeof slackScopes {
  return name in slackScopes;
}
