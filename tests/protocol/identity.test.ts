import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { idFromBytes } from '../../domain/ids.ts';
import { formatEnrolmentToken, parseEnrolmentToken } from '../../protocol/enrolment-token.ts';
import { type Identity, identityOf, identityUri, parseIdentityUri } from '../../protocol/identity.ts';

const agentId = idFromBytes('agent', Buffer.alloc(10, 7));
const identities: Identity[] = [
  { kind: 'agent', agentId },
  { kind: 'person', name: 'ana' },
  { kind: 'process-server', name: 'ps-1' },
  { kind: 'bot', name: 'slack' },
  { kind: 'engine', name: 'engine' },
];

describe('identities in certificates', () => {
  it.each(identities)('$kind survives being written as a URI and read back', (identity) => {
    expect(parseIdentityUri(identityUri(identity))).toEqual(identity);
    expect(identityOf({ subjectaltname: `DNS:localhost, URI:${identityUri(identity)}` })).toEqual(identity);
  });

  it.each([
    ['no name at all', undefined],
    ['no URI', 'DNS:localhost, IP Address:127.0.0.1'],
    ['two URIs of ours', 'URI:lifeboat://person/ana, URI:lifeboat://person/ben'],
    ['one URI of ours and a foreign one', 'URI:lifeboat://person/ana, URI:https://example.com'],
    ['a quoted name that hides a separator', 'URI:"lifeboat://person/ana, URI:lifeboat://person/ben"'],
    ['a kind that does not exist', 'URI:lifeboat://admin/ana'],
    ['an agent that is not an id', 'URI:lifeboat://agent/ana'],
    ['a path after the name', 'URI:lifeboat://person/ana/ben'],
    ['capitals in the scheme', 'URI:LIFEBOAT://person/ana'],
    ['a name with a line break', 'URI:lifeboat://person/ana\n'],
    ['a name that begins with a dot', 'URI:lifeboat://person/.ana'],
  ])('%s is nobody', (_what, subjectaltname) => {
    expect(identityOf({ subjectaltname })).toBeUndefined();
  });

  it('no text ever makes an identity that does not write itself back as that text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `lifeboat://person/${text}`),
        ),
        (text) => {
          const identity = parseIdentityUri(text);
          expect(identity === undefined || identityUri(identity) === text).toBe(true);
        },
      ),
    );
  });
});

describe('enrolment tokens', () => {
  const token = {
    engineUrl: 'https://127.0.0.1:8443',
    caPinSha256: 'a'.repeat(64),
    secret: 'b'.repeat(43),
    expires: 1_700_000_000_000,
  };

  it('survive being pasted with white space around them', () => {
    expect(parseEnrolmentToken(`  ${formatEnrolmentToken(token)}\n`)).toEqual(token);
  });

  it.each([
    ['the last characters are missing', formatEnrolmentToken(token).slice(0, -8)],
    ['the prefix is missing', formatEnrolmentToken(token).slice(4)],
    ['it would send the secret in clear', formatEnrolmentToken({ ...token, engineUrl: 'http://127.0.0.1:80' })],
    ['it is too long', `lbt_${'A'.repeat(3000)}`],
    ['it is empty', ''],
  ])('are refused when %s', (_why, wire) => {
    expect(parseEnrolmentToken(wire)).toBeUndefined();
  });
});
