import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { unlinkPerson } from '../../engine/people/console-session.ts';
import { removeAuthenticator } from '../../engine/store/authenticators.ts';
import { setDisabled } from '../../engine/store/people.ts';
import { chatRoutes } from '../../protocol/chat-api.ts';
import { consoleRoutes } from '../../protocol/console-api.ts';
import type { Heard } from './voice.ts';
import {
  heard,
  look,
  nature,
  newLink,
  newLinkCode,
  newToken,
  rowsOf,
  tryCode,
  type WebSite,
  withToken,
} from './web-site.ts';

/** One way of getting into the web console that must come to nothing. */
export type WebAttack = {
  readonly name: string;
  readonly hears: RegExp;
  readonly attack: (site: WebSite) => Promise<Heard>;
};

/** Everything that is wrong afterwards, in words; nothing when all is well. */
export async function faultsOf(site: WebSite, { attack, hears }: WebAttack): Promise<string[]> {
  const { status, words } = await attack(site);
  return [
    ...(status < 400 ? [`it came in: HTTP ${status}`] : []),
    ...(hears.test(words) ? [] : [`heard: ${words.slice(0, 200)}`]),
  ];
}

/** A code of the right form. */
export const aCode = '7K3M-9Q2W-XA4T';
export const webAttacks = {
  wrongCode: {
    name: 'a code that nobody made',
    hears: /not a code of this installation/,
    attack: (site) => tryCode(site, aCode),
  },
  usedLink: {
    name: 'a link that was used',
    hears: /used already.*console --sign-out/,
    attack: async (site) => {
      const code = await newLink(site);
      await newToken(site, code);
      return tryCode(site, code);
    },
  },
  expiredLink: {
    name: 'a link of yesterday',
    hears: /expired/,
    attack: async (site) => {
      const code = await newLink(site);
      await nature(site, "update console_links set expires_at = now() - interval '1 ms'");
      return tryCode(site, code);
    },
  },
  olderLink: {
    name: 'a link after which the person asked for another one',
    hears: /not a code of this installation, or a newer one/,
    attack: async (site) => {
      const code = await newLink(site);
      await newLink(site);
      return tryCode(site, code);
    },
  },
  disabledLink: {
    name: 'a link whose person was disabled since',
    hears: /disabled/,
    attack: async (site) => {
      const code = await newLink(site);
      await nature(site, "update persons set disabled_at = now() where name = 'ana'");
      return tryCode(site, code);
    },
  },
  guesses: {
    name: 'a sixth wrong code',
    hears: /Five codes from your address were wrong/,
    attack: async (site) => {
      for (let count = 0; count < 5; count += 1) await tryCode(site, `${aCode.slice(0, -1)}${count}`);
      return tryCode(site, aCode);
    },
  },
  codeAfterReset: {
    name: 'a code of `dr link` from before the person’s authenticator was reset',
    hears: /not a code of this installation/,
    attack: async (site) => {
      const code = await newLinkCode(site);
      await site.store.write((db) => removeAuthenticator(db, 'ana'));
      return tryCode(site, code);
    },
  },
  codeAfterSignOut: {
    name: 'a code of `dr link` from before the person signed out everywhere',
    hears: /not a code of this installation/,
    attack: async (site) => {
      const code = await newLinkCode(site);
      await site.ana.post(consoleRoutes.signOut, { isEverywhere: true });
      return tryCode(site, code);
    },
  },
  unknownToken: {
    name: 'a token that nobody was given',
    hears: /no session of this installation.*Sign in again/,
    attack: (site) => look(site, randomBytes(32).toString('base64url')),
  },
  malformedToken: {
    name: 'a token that is none',
    hears: /no session of this installation/,
    attack: (site) => look(site, "' or true --"),
  },
  expiredSession: {
    name: 'a session after its twelve hours',
    hears: /12 h at most/,
    attack: async (site) => {
      const token = await newToken(site);
      await nature(site, "update console_sessions set created_at = now() - interval '12 h', expires_at = now()");
      return look(site, token);
    },
  },
  idleSession: {
    name: 'a session that nobody used for an hour',
    hears: /nothing was asked for an hour/,
    attack: async (site) => {
      const token = await newToken(site);
      await nature(site, "update console_sessions set last_used_at = now() - interval '60 min'");
      return look(site, token);
    },
  },
  endedSession: {
    name: 'a session after signing out',
    hears: /you signed out/,
    attack: async (site) => {
      const token = await newToken(site);
      await withToken(site, token).post(consoleRoutes.signOut, {});
      return look(site, token);
    },
  },
  disabledSession: {
    name: 'the session of a person who was disabled',
    hears: /its person was disabled/,
    attack: async (site) => {
      const token = await newToken(site);
      await site.store.write((db) => setDisabled(db, 'ana', true));
      return look(site, token);
    },
  },
  resetSession: {
    name: 'a session from before the person’s authenticator was reset: it could set up the next one',
    hears: /the authenticator of its person was reset/,
    attack: async (site) => {
      const token = await newToken(site);
      await site.store.write((db) => removeAuthenticator(db, 'ana'));
      return heard(site, withToken(site, token).post(chatRoutes.authenticator, {}));
    },
  },
  unlinkedSession: {
    name: 'a session from before the person’s chat user was unlinked',
    hears: /a chat user of its person was unlinked/,
    attack: async (site) => {
      const token = await newToken(site);
      await site.store.write((db) => unlinkPerson(db, 'ana', ['slack']));
      return look(site, token);
    },
  },
  enabledAgain: {
    name: 'the session of a person who was disabled and is back',
    hears: /its person was disabled/,
    attack: async (site) => {
      const token = await newToken(site);
      await site.store.write((db) => setDisabled(db, 'ana', true));
      await site.store.write((db) => setDisabled(db, 'ana', false));
      return look(site, token);
    },
  },
  tokenHash: {
    name: 'the hash of a token, as it is in the database',
    hears: /no session of this installation/,
    attack: async (site) => {
      await newToken(site);
      const rows = await rowsOf<{ hash: string }>(site, sql`select token_hash as hash from console_sessions`);
      return look(site, rows[0]?.hash ?? '');
    },
  },
} as const satisfies Record<string, WebAttack>;
