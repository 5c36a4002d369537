import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKeyAndRequest } from '../../agent/identity.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../../engine/certificate-authority.ts';
import { createEnrolmentToken, type EnrolmentDeps, enrolAgent, renewAgent } from '../../engine/enrolment.ts';
import { consumeToken, insertToken, isAgentWelcome, recordRenewal } from '../../engine/store/enrolment.ts';
import type { Store } from '../../engine/store/open.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';

let postgres: TestPostgres;
let store: Store;
let folder: string;
let authority: CertificateAuthority;
let deps: EnrolmentDeps;

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await postgres.freshStore();
  folder = await mkdtemp(join(tmpdir(), 'lifeboat-enrolment-store-'));
  authority = await createCertificateAuthority(folder, Date.now());
  deps = {
    certificateAuthority: authority,
    engineUrl: 'https://127.0.0.1:8443',
    nowMs: Date.now,
    insertToken: (token) => store.write((db) => insertToken(db, token)),
    consumeToken: (use) => store.write((db) => consumeToken(db, use)),
    recordRenewal: (renewal) => store.write((db) => recordRenewal(db, renewal)),
  };
});
afterAll(async () => {
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function ask(token: string, hostName: string) {
  const { certificateRequest } = await createKeyAndRequest();
  return enrolAgent(deps, { token, hostName, certificateRequest });
}

describe('enrolment in Postgres', () => {
  it('makes one certificate of a token that twenty hosts send at once', async () => {
    const token = await createEnrolmentToken(deps, { hostName: 'host-1', createdBy: 'ana' });
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => ask(token, 'host-1')));
    expect(outcomes.filter((outcome) => outcome.kind === 'issued')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome.kind === 'refused' && outcome.why === 'used')).toHaveLength(19);
  });

  it('refuses a token whose time is over by the database’s clock, whatever the engine’s says', async () => {
    const behind = { ...deps, nowMs: () => Date.now() - 3_600_000 };
    await expect
      .poll(async () =>
        ask(await createEnrolmentToken(behind, { hostName: 'host-2', createdBy: 'ana', lifeMs: 1 }), 'host-2'),
      )
      .toMatchObject({ kind: 'refused', why: 'expired' });
  });

  it('revokes the host’s older agent when the host is enrolled again', async () => {
    const token = () => createEnrolmentToken(deps, { hostName: 'host-3', createdBy: 'ana' });
    const first = await ask(await token(), 'host-3');
    const second = await ask(await token(), 'host-3');
    if (first.kind !== 'issued' || second.kind !== 'issued') throw new Error('both tokens are good');
    expect(await store.read((db) => isAgentWelcome(db, first.answer.agentId))).toBe(false);
    expect(await store.read((db) => isAgentWelcome(db, second.answer.agentId))).toBe(true);
    const { certificateRequest } = await createKeyAndRequest();
    expect(await renewAgent(deps, { agentId: first.answer.agentId, certificateRequest })).toMatchObject({
      why: 'revoked',
    });
    expect(await renewAgent(deps, { agentId: second.answer.agentId, certificateRequest })).toMatchObject({
      kind: 'issued',
    });
  });

  it('never makes a token that lives longer than fifteen minutes', async () => {
    const lives: number[] = [];
    const watched = { ...deps, insertToken: async (token: { lifeMs: number }) => void lives.push(token.lifeMs) };
    await createEnrolmentToken(watched, { hostName: 'host-4', createdBy: 'ana', lifeMs: 86_400_000 });
    expect(lives).toEqual([900_000]);
  });
});
