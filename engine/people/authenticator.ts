import { Secret, TOTP } from 'otpauth';
import { secondMs } from '../../domain/units.ts';
import type { AuthenticatorAnswer } from '../../protocol/people-api.ts';
import {
  type AuthenticatorRecord,
  beginAuthenticator,
  burnCode,
  confirmAuthenticator,
  findAuthenticator,
} from '../store/authenticators.ts';
import { type Database, databaseNowMs } from '../store/database.ts';
import { forgetWrongTries, mayTry, noteWrongTry } from '../store/wrong-tries.ts';
import { openSecret, sealSecret } from './sealed-secret.ts';

/** Six-digit codes from a telephone, which work without any network. Source: CHAT 5.2 (4), RFC 6238 */
export type AuthenticatorDeps = { readonly authenticatorKey: Buffer };
export type StepUp = 'proven' | 'wrong' | 'used' | 'locked' | 'no-authenticator';

const stepMs = 30 * secondMs;
const secretBytes = 20;
/** The step before and the one after are taken too: telephones' clocks differ. */
const stepsAside = 1;

/**
 * Whether the person has the authenticator at hand now, by the database's clock. A right code is burned; five wrong ones lock for a quarter
 * of an hour. Call it in a transaction that is committed also when the answer is not `proven`.
 */
export async function verifyStepUp(
  deps: AuthenticatorDeps,
  db: Database,
  proof: { readonly person: string; readonly code: string },
): Promise<StepUp> {
  const found = await findAuthenticator(db, proof.person);
  return found?.isConfirmed === true ? tryCode(deps, db, { ...proof, ...found }) : 'no-authenticator';
}

/** Begins to set up an authenticator: the answer is the only copy of its secret. `confirmed`: the person has one already. */
export async function beginSetUp(
  deps: AuthenticatorDeps,
  db: Database,
  person: string,
): Promise<AuthenticatorAnswer | 'confirmed-already'> {
  const secret = new Secret({ size: secretBytes });
  const sealed = sealSecret(deps.authenticatorKey, person, secret.bytes);
  if ((await beginAuthenticator(db, person, sealed)) === 'confirmed') return 'confirmed-already';
  return { kind: 'secret', uri: totpOf(person, secret).toString(), secret: secret.base32 };
}

/** The first right code makes it the person's authenticator. Call it in a transaction that is committed in every case. */
export async function confirmSetUp(
  deps: AuthenticatorDeps,
  db: Database,
  proof: { readonly person: string; readonly code: string },
): Promise<StepUp> {
  const found = await findAuthenticator(db, proof.person);
  if (found === undefined) return 'no-authenticator';
  const outcome = await tryCode(deps, db, { ...proof, ...found });
  if (outcome === 'proven') await confirmAuthenticator(db, proof.person);
  return outcome;
}

/**
 * The 30 s step to which a code belongs; undefined for a wrong one, or one that is more than a step away.
 *
 * @param nowMs epoch milliseconds
 */
export function stepOfCode(secret: Uint8Array, code: string, nowMs: number): number | undefined {
  const digits = code.replace(/\s/g, '');
  if (!/^\d{6}$/.test(digits)) return undefined;
  const totp = totpOf('', new Secret({ buffer: new Uint8Array(secret).buffer }));
  const delta = totp.validate({ token: digits, timestamp: nowMs, window: stepsAside });
  return delta === null ? undefined : Math.floor(nowMs / stepMs) + delta;
}

async function tryCode(
  deps: AuthenticatorDeps,
  db: Database,
  proof: { readonly person: string; readonly code: string } & AuthenticatorRecord,
): Promise<StepUp> {
  const { person, code } = proof;
  const guesser = `six-digit code of ${person}`;
  if (!(await mayTry(db, guesser))) return 'locked';
  const secret = openSecret(deps.authenticatorKey, person, proof.sealedSecret);
  const step = stepOfCode(secret, code, await databaseNowMs(db));
  if (step === undefined) {
    await noteWrongTry(db, guesser);
    return 'wrong';
  }
  if ((await burnCode(db, person, step)) === 'used') return 'used';
  await forgetWrongTries(db, guesser);
  return 'proven';
}

function totpOf(person: string, secret: Secret): TOTP {
  return new TOTP({
    issuer: 'Lifeboat',
    label: person,
    algorithm: 'SHA1',
    digits: 6,
    period: stepMs / secondMs,
    secret,
  });
}
