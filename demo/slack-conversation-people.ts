import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Secret, TOTP } from 'otpauth';
import { OutageError } from '../domain/outage.ts';
import { writeBotConfiguration } from './configurations.ts';
import type { Layout } from './layout.ts';
import { addPerson, type Newcomer } from './newcomer.ts';
import type { Site } from './site.ts';
import type { SlackWorkspace } from './slack-workspace/workspace.ts';

export type StaffingDeps = { readonly site: Site; readonly layout: Layout; readonly signal: AbortSignal };

/** A telephone with an authenticator: it knows the secret that the bot showed its owner. */
export type Telephone = {
  /** The code of this half minute, or the next one, which is taken already, when this one is used. */
  readonly code: () => string;
  /** A code counts once: the one that was shown last is used. */
  readonly used: () => void;
};

export const channel = '#dr';
const stepLimitMs = 180_000;

/**
 * Brings the site's real bot, ana (operator) and ben (approver) into a workspace. They are added, linked and given six-digit codes exactly
 * as in a real workspace, and the channel hears of everything.
 *
 * @returns ben's telephone
 */
export async function staffWorkspace(deps: StaffingDeps, workspace: SlackWorkspace): Promise<Telephone> {
  for (const name of ['ana', 'ben']) workspace.addUser(name);
  const channelId = workspace.addChannel(channel.slice(1), ['ana', 'ben', 'Lifeboat']);
  await startBot(deps, workspace);
  await link(deps, workspace, { name: 'ana', role: 'operator' });
  await link(deps, workspace, { name: 'ben', role: 'approver' });
  await subscribe(deps, { surface: 'slack', tenant: workspace.teamId, place: channelId });
  return setUpTelephone(workspace, 'ben', deps.signal);
}

/** Waits until it is so. @throws OutageError after three minutes */
export async function until(what: string, isSo: () => boolean, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + stepLimitMs;
  while (!isSo()) {
    if (performance.now() > deadline)
      throw new OutageError(`${what}: still not so after ${stepLimitMs / 1000} s`, { retryable: false });
    await pause(50, undefined, { signal });
  }
}

async function startBot({ site, layout, signal }: StaffingDeps, workspace: SlackWorkspace): Promise<void> {
  const secretFile = (name: string, secret: string) => {
    const file = join(layout.botState, name);
    writeFileSync(file, secret, { mode: 0o600 });
    return `file:${file}`;
  };
  writeBotConfiguration(layout, site.ports, {
    mode: 'socket',
    apiUrl: workspace.apiUrl,
    botToken: secretFile('bot-token', workspace.botToken),
    appToken: secretFile('app-token', workspace.appToken),
  });
  site.startBot();
  await until('the bot is in the workspace', () => workspace.connectionCount() > 0, signal);
}

/** `lifeboat person add` on the engine's host, then `/dr link` in chat, as an administrator and a newcomer do it. */
async function link(deps: StaffingDeps, workspace: SlackWorkspace, person: Newcomer): Promise<void> {
  const { name } = person;
  const code = await addPerson(deps, person);
  await workspace.as(name).types('@Lifeboat', `/dr link ${code}`);
  await until(`${name} is linked`, () => workspace.as(name).reads('@Lifeboat').includes('linked'), deps.signal);
}

async function subscribe(
  { site, signal }: StaffingDeps,
  place: { readonly surface: 'slack'; readonly tenant: string; readonly place: string },
): Promise<void> {
  const answer = await site.engine.ask(
    { kind: 'subscribe', body: { place } },
    { idempotencyKey: `demo-subscribe-${place.place}`, signal },
  );
  if (answer.kind === 'refusal') throw new OutageError(answer.refusal.message, { retryable: false });
}

async function setUpTelephone(workspace: SlackWorkspace, name: string, signal: AbortSignal): Promise<Telephone> {
  const person = workspace.as(name);
  const secretIn = () => /[A-Z2-7]{32}/.exec(person.reads('@Lifeboat'))?.[0];
  await person.types('@Lifeboat', '/dr authenticator');
  await until('the secret of the authenticator', () => secretIn() !== undefined, signal);
  const totp = new TOTP({ secret: Secret.fromBase32(secretIn() ?? '') });
  let shownStep = stepOfNow();
  await person.types('@Lifeboat', `/dr authenticator ${totp.generate({ timestamp: shownStep * stepMs })}`);
  await until('the authenticator works', () => /set up|works|confirmed/i.test(person.reads('@Lifeboat')), signal);
  let usedStep = shownStep;
  return {
    code: () => {
      shownStep = Math.max(stepOfNow(), usedStep + 1);
      return totp.generate({ timestamp: shownStep * stepMs });
    },
    used: () => {
      usedStep = shownStep;
    },
  };
}

const stepMs = 30_000;
const stepOfNow = () => Math.floor(Date.now() / stepMs);
