import type { TeamsSettings } from '../../bot/teams/settings.ts';
import { startTeams, type Teams } from '../../bot/teams/start-teams.ts';
import type { Person } from '../../demo/teams-connector/conversations.ts';
import type { Client } from '../../demo/teams-connector/people.ts';
import { startTeam, type Team } from '../../demo/teams-connector/team.ts';
import { type SmallEngine, smallEngine } from './small-engine.ts';

export type TeamsBot = {
  readonly team: Team;
  readonly engine: SmallEngine;
  readonly teams: Teams;
  readonly warnings: string[];
  /** Somebody who is a person here, linked to their chat account. */
  readonly linked: (name: string, more?: Partial<Omit<Person, 'name' | 'id'>>) => Client;
  /** Says it and waits for the answer; gives back what stands in the place now. */
  readonly close: () => Promise<void>;
};

/** A bot at the loopback connector. Throttling of the connector is off unless a test is about it: machines differ in speed. */
export async function startTeamsBot(
  options: {
    readonly settings?: Partial<TeamsSettings>;
    readonly isThrottling?: boolean;
    readonly nowMs?: () => number;
    readonly invokeMs?: number;
  } = {},
): Promise<TeamsBot> {
  const team = await startTeam({ isThrottling: options.isThrottling ?? false });
  const engine = smallEngine();
  const warnings: string[] = [];
  const ending = new AbortController();
  const teams = await startTeams({
    settings: { ...team.settings, ...options.settings },
    engine,
    nowMs: options.nowMs ?? Date.now,
    log: { info: () => undefined, warn: (message, error) => void warnings.push(`${message} ${error ?? ''}`) },
    signal: ending.signal,
    random: () => 0.5,
    retryPauseMs: 5,
    ...(options.invokeMs !== undefined && { invokeMs: options.invokeMs }),
  });
  team.connect(teams.url);
  return {
    team,
    engine,
    teams,
    warnings,
    linked: (name, more) => {
      const client = team.as(name, more);
      engine.people.set(client.person.aadObjectId ?? '', name);
      return client;
    },
    close: async () => {
      ending.abort();
      await teams.close();
      await team.close();
    },
  };
}
