import { type SQL, sql } from 'drizzle-orm';
import { invariant } from '../../domain/invariant.ts';
import type { ConsoleRules } from '../../engine/api/deps.ts';
import { recogniseSession } from '../../engine/people/console-session.ts';
import { redeemConsoleCode } from '../../engine/people/console-sign-in.ts';
import type { Store } from '../../engine/store/open.ts';
import { setDisabled, setGrants } from '../../engine/store/people.ts';
import { chatRoutes } from '../../protocol/chat-api.ts';
import { consoleRoutes, sessionHeader, signInAnswer, signInLinkAnswer } from '../../protocol/console-api.ts';
import { routes } from '../../protocol/control-api.ts';
import { linkAnswer } from '../../protocol/people-api.ts';
import { type Caller, startTestApi, type TestApi } from '../engine/api/api-fixture.ts';
import { connect, type Line } from './connection.ts';
import { type Heard, heardOf } from './voice.ts';

/** A real engine whose web console is attacked; its rules can be broken one by one, to prove that the attacks notice. */
export type WebSite = {
  readonly store: Store;
  readonly api: TestApi;
  readonly bot: Line;
  readonly ana: Caller;
  /** The rules in force, where they are not ours. */
  readonly rules: { broken: Partial<ConsoleRules> };
  /** Everything that the engine answered since the reset. */
  readonly said: string[];
  /** Nobody is signed in, nobody has guessed, ana is an operator. */
  readonly reset: () => Promise<void>;
  readonly stop: () => Promise<void>;
};

export async function startWebSite(store: Store): Promise<WebSite> {
  const rules: WebSite['rules'] = { broken: {} };
  const said: string[] = [];
  const api = await startTestApi(store, {
    console: {
      recogniseSession: (...given) => (rules.broken.recogniseSession ?? recogniseSession)(...given),
      redeemConsoleCode: (...given) => (rules.broken.redeemConsoleCode ?? redeemConsoleCode)(...given),
    },
  });
  const bot = await connect(api, { kind: 'bot', name: 'bot-1' });
  const ana = await api.as({ kind: 'person', name: 'ana' });
  const reset = async () => {
    rules.broken = {};
    said.length = 0;
    await nature({ store }, 'delete from console_sessions; delete from console_links; delete from wrong_tries');
    await store.write(async (db) => {
      await setDisabled(db, 'ana', false);
      await setGrants(db, 'ana', [{ role: 'operator', scope: { kind: 'everything' } }], 'the test');
    });
  };
  const stop = async () => {
    await bot.close();
    await api.stop();
  };
  return { store, api, bot, ana, rules, said, reset, stop };
}

/** What no code of ours does: time passes, somebody has the database. */
export function nature({ store }: Pick<WebSite, 'store'>, statement: string) {
  return store.write((db) => db.execute(sql.raw(statement)));
}

export async function rowsOf<Row extends Record<string, unknown>>({ store }: WebSite, query: SQL) {
  return (await store.read((db) => db.execute<Row>(query))).rows;
}

export function withToken({ bot }: WebSite, token: string): Caller {
  return bot.withHeaders({ [sessionHeader]: token });
}

export async function heard(site: WebSite, answer: ReturnType<Caller['get']>): Promise<Heard> {
  const found = heardOf(await answer, undefined);
  site.said.push(JSON.stringify(found.answer));
  return found;
}

export async function newLink({ ana }: WebSite): Promise<string> {
  return signInLinkAnswer.parse((await ana.post(consoleRoutes.signInLink, {})).body).code;
}

/** A code of `dr link`, which signs its person in too. */
export async function newLinkCode({ ana }: WebSite): Promise<string> {
  const made = linkAnswer.parse((await ana.post(chatRoutes.link, {})).body);
  invariant(made.kind === 'code', 'a person of the terminal gets a code');
  return made.code;
}

export function tryCode(site: WebSite, code: string, address = '192.0.2.1'): Promise<Heard> {
  return heard(site, site.bot.withHeaders({}).post(consoleRoutes.signIn, { code, address }));
}

/** ana signs in. */
export async function newToken(site: WebSite, code?: string): Promise<string> {
  const body = { code: code ?? (await newLink(site)), address: '127.0.0.1' };
  return signInAnswer.parse((await site.bot.withHeaders({}).post(consoleRoutes.signIn, body)).body).token;
}

export function look(site: WebSite, token: string): Promise<Heard> {
  return heard(site, withToken(site, token).get(routes.machines));
}

export function orderPause(site: WebSite, token: string): Promise<Heard> {
  const body = { machine: 'vm-7', forMs: 60_000, reason: 'x' };
  return heard(site, withToken(site, token).post(routes.pause, body));
}
