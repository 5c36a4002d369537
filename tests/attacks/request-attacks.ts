import { actorHeader, chatRoutes } from '../../protocol/chat-api.ts';
import { routes } from '../../protocol/control-api.ts';
import type { Identity } from '../../protocol/identity.ts';
import type { Attack, Scene } from './attack.ts';
import { connect, type Raw } from './connection.ts';
import { buttonOf, type Heard, heardOf } from './voice.ts';

const json = { 'content-type': 'application/json' };
const ben = { kind: 'person', name: 'ben' } as const;

/** Bytes that no client of ours would send, with ben’s own certificate unless it says otherwise. */
async function sendsRaw({ site }: Scene, sent: Partial<Raw>, identity: Identity = ben): Promise<Heard> {
  const { method = 'POST', url = chatRoutes.approve, headers = json, body } = sent;
  const line = await connect(site.api, identity);
  const by = { who: 'ben', via: 'certificate' };
  try {
    return heardOf(
      await line.send({ method, url, headers: { 'idempotency-key': 'raw-bytes-of-ben', ...headers }, body }),
      by,
    );
  } catch (error) {
    return { status: 0, kind: 'closed', words: `connection closed: ${error}`, answer: undefined, by };
  } finally {
    await line.close();
  }
}

const raw =
  (make: (scene: Scene) => Partial<Raw>): Attack['attack'] =>
  async (scene) =>
    sendsRaw(scene, make(scene));
/** A vote that is right, but for what is said here. */
const votes =
  (more: (scene: Scene) => object): Attack['attack'] =>
  async (scene): Promise<Heard> => {
    const ben = await scene.person('ben');
    const body = { ...buttonOf(await scene.pending()), code: ben.code(), ...more(scene) };
    return ben.certificate.post(chatRoutes.approve, body);
  };
const deep = (open: string, close: string) => `${open.repeat(200_000)}${close.repeat(200_000)}`;
const notUnderstood = { trail: 'not-asked' } as const;

/** What cannot be understood is no order, and breaks nothing. */
export const malformedRequests: readonly Attack[] = [
  {
    name: 'a body of 9 MiB',
    hears: /too large|closed/,
    ...notUnderstood,
    attack: raw(() => ({ body: JSON.stringify({ approval: 'x'.repeat(9 * 1024 * 1024) }) })),
  },
  {
    name: 'lists in lists, 200,000 deep, in a field',
    hears: /not understood/,
    ...notUnderstood,
    attack: raw(() => ({ body: `{"approval": ${deep('[', ']')}}` })),
  },
  {
    name: 'objects in objects, 200,000 deep, by somebody who may not do it at all',
    hears: /linked to no person/,
    attack: async (scene) => {
      const actor = { surface: 'slack', tenant: 'T1', user: 'U9MALLORY', displayName: 'M.', kind: 'member' };
      const headers = { ...json, [actorHeader]: encodeURIComponent(JSON.stringify(actor)) };
      const body = `{"approval": "apr_0000000000", "x": ${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}}`;
      const heard = await sendsRaw(scene, { headers, body }, { kind: 'bot', name: 'bot-1' });
      return { ...heard, by: { who: undefined, via: 'slack:T1:U9MALLORY' } };
    },
  },
  {
    name: 'a prototype in the body',
    hears: /not valid JSON/,
    ...notUnderstood,
    attack: raw(() => ({ body: `{"approval": "apr_0000000000", "__proto__": {"code": "000000"}}` })),
  },
  {
    name: 'a constructor’s prototype in the body',
    hears: /not valid JSON/,
    ...notUnderstood,
    attack: raw(() => ({ body: `{"approval": "apr_0000000000", "constructor": {"prototype": {"role": "admin"}}}` })),
  },
  ...['[]', 'null', '"approve"', '0', '', '{', '{"approval":"a"}{"approval":"b"}'].map(
    (body): Attack => ({
      name: `the body ${body === '' ? 'of no bytes' : body}`,
      hears: /not understood|not valid JSON|cannot be empty/,
      ...notUnderstood,
      attack: raw(() => ({ body })),
    }),
  ),
  ...['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'multipart/form-data; boundary=x'].map(
    (type): Attack => ({
      name: `a body of ${type}`,
      hears: /not understood|Unsupported Media Type/,
      ...notUnderstood,
      attack: raw(() => ({ headers: { 'content-type': type }, body: '{"approval": "apr_0000000000"}' })),
    }),
  ),
  ...(
    [
      ['a revision that is no number', { revision: '1 or 1=1' }],
      ['a revision beyond all numbers', { revision: 1e300 }],
      ['a code that is a list', { code: ['000000', '000001'] }],
      ['a code of 10 kB', { code: '0'.repeat(10_000) }],
      ['a reason of 10 kB', { reason: 'x'.repeat(10_000) }],
      ['an approval that is an object', { approval: { $ne: '' } }],
    ] as const
  ).map(
    ([what, more]): Attack => ({ name: what, hears: /not understood/, ...notUnderstood, attack: votes(() => more) }),
  ),
  {
    name: 'fields that no order has: a state, votes and another voter',
    hears: /code is wrong/,
    attack: async (scene) => {
      const more = { state: 'approved', person: 'carla', votes: [{ person: 'carla' }], stepUp: 'totp', code: '000000' };
      return { ...(await votes(() => more)(scene)), by: { who: 'ben', via: 'certificate' } };
    },
  },
  {
    name: 'half a character in the reason of a request, which no database takes',
    hears: /waits for approval/,
    attack: async ({ person, machine }) =>
      (await person('ana')).slack.request(machine.name, { reason: 'power \ud83d work' }),
  },
  {
    name: 'half a character in the reason of a rejection',
    hears: /rejected the planned failover/,
    attack: async ({ person, pending }) => (await person('ben')).slack.reject(await pending(), { reason: 'no \udc00' }),
  },
  {
    name: 'no idempotency key',
    hears: /idempotency/i,
    ...notUnderstood,
    attack: raw(() => ({ headers: { ...json, 'idempotency-key': '' }, body: '{"approval": "apr_0000000000"}' })),
  },
  {
    name: 'an idempotency key of 1 kB',
    hears: /not understood/,
    ...notUnderstood,
    attack: raw(() => ({
      headers: { ...json, 'idempotency-key': 'k'.repeat(1000) },
      body: '{"approval": "apr_0000000000"}',
    })),
  },
  ...(
    [
      ['DELETE', chatRoutes.approvals],
      ['PUT', chatRoutes.approve],
      ['GET', chatRoutes.approve],
      ['POST', chatRoutes.approvals],
      ['POST', '/v1/commands/approve/../approve/all'],
      ['GET', '/v1/runs/..%2f..%2f..%2fetc%2fpasswd/console.png'],
      ['GET', `/v1/approvals/${'x'.repeat(5000)}`],
      ['GET', '/v1/approvals/%00'],
      ['GET', '/v1/approvals/%27%20or%201=1'],
    ] as const
  ).map(
    ([method, url]): Attack => ({
      name: `${method} ${url.slice(0, 60)}`,
      hears: /no such route|There is no|not understood|param/i,
      ...notUnderstood,
      attack: raw(() => ({ method, url, headers: {} })),
    }),
  ),
  {
    name: 'a question of the trail with SQL in it',
    hears: /"entries":\[\]/,
    ...notUnderstood,
    attack: async ({ person }) =>
      (await person('vera')).certificate.get(`${chatRoutes.audit}?about=${encodeURIComponent(`' or '1'='1`)}`),
  },
  {
    name: 'a host that calls a machine `<!channel>`',
    hears: /not understood/,
    trail: 'unknown',
    attack: async ({ site }) => {
      const { caller } = await site.api.enrol('host-of-mallory');
      const guest = { name: '<!channel> <@U1>', kind: 'qemu-guest', tracking: 'x', disks: [], hardware: {} };
      const body = { instanceId: crypto.randomUUID(), agentVersion: '1', hostName: 'h', guests: [guest], machines: [] };
      return heardOf(await caller.post(routes.heartbeat, body), undefined);
    },
  },
];
