import type { webApi } from '@slack/bolt';
import { OutageError } from '../../domain/outage.ts';

const groupPattern = /<!subteam\^([A-Z0-9]+)(?:\|[^>]*)?>/g;
const groupCountMax = 3;
const memberCountMax = 20;

/**
 * The same line with the people of a user group in its place: `oncall set @oncall` means those who are in it now.
 *
 * @throws OutageError when Slack does not say who they are
 */
export async function withMembers(line: string, client: Pick<webApi.WebClient, 'usergroups'>): Promise<string> {
  const groups = [...new Set([...line.matchAll(groupPattern)].map((match) => match[1] ?? ''))].slice(0, groupCountMax);
  if (groups.length === 0 || !/^\s*(\/dr\s+)?oncall\b/.test(line)) return line;
  const members = new Map<string, string>();
  for (const group of groups) members.set(group, await mentionsOf(group, client));
  return line.replace(groupPattern, (whole, group: string) => members.get(group) ?? whole);
}

async function mentionsOf(group: string, client: Pick<webApi.WebClient, 'usergroups'>): Promise<string> {
  try {
    const { users = [] } = await client.usergroups.users.list({ usergroup: group });
    return users
      .slice(0, memberCountMax)
      .map((user) => `<@${user}>`)
      .join(' ');
  } catch (cause) {
    throw new OutageError('asking Slack who is in the user group', {
      cause,
      retryable: true,
      nextStep: 'name the people one by one: `oncall set @ana @ben`',
    });
  }
}
