import { appendAudit } from '../store/audit.ts';
import { findAuthenticator } from '../store/authenticators.ts';
import { type Database, lockInTransaction } from '../store/database.ts';
import { insertLinkCode, wasSetUpCodeUsed } from '../store/link-codes.ts';
import type { Store } from '../store/open.ts';
import { activeAdmins, addPerson, isAnyLinked, setGrants } from '../store/people.ts';
import { linkCodeHash, newLinkCode } from './link-code.ts';
import { setUpCodeLifeMs } from './linking.ts';

/** The person on the engine's own host, who has a certificate from the first start on. */
const firstAdmin = 'admin';

/**
 * Makes the person `admin` at the very first start. As long as no admin has come in by chat or by the web console, each start answers with a
 * fresh one-time code, good for a day, that makes whoever types it there this admin. Later codes are made on the engine's host:
 * `lifeboat person add`.
 */
export async function prepareFirstAdmin(store: Store): Promise<{ readonly setUpCode: string | undefined }> {
  return store.write(async (db) => {
    await lockInTransaction(db, 'first admin');
    const by = { who: 'engine', via: 'engine start' } as const;
    if ((await addPerson(db, firstAdmin, by.who)) === 'added') {
      await appendAudit(db, { ...by, what: 'person', target: firstAdmin, detail: 'the first admin, of everything' });
      await setGrants(db, firstAdmin, [{ role: 'admin', scope: { kind: 'everything' } }], by.who);
    }
    const admins = await activeAdmins(db);
    if (!admins.includes(firstAdmin) || (await isSomeAdminIn(db, admins))) return { setUpCode: undefined };
    const setUpCode = newLinkCode();
    const maker = { kind: 'person', person: firstAdmin } as const;
    await insertLinkCode(db, { codeHash: linkCodeHash(setUpCode), maker, lifeMs: setUpCodeLifeMs, isSetUp: true });
    return { setUpCode };
  });
}

/** Whether an admin is in, by whichever way: a code in the log of each start would let in whoever reads the log. */
async function isSomeAdminIn(db: Database, admins: readonly string[]): Promise<boolean> {
  if ((await isAnyLinked(db, admins)) || (await wasSetUpCodeUsed(db))) return true;
  for (const name of admins) if ((await findAuthenticator(db, name))?.isConfirmed === true) return true;
  return false;
}
