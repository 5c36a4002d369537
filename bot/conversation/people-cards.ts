import { grantWords } from '../../domain/access.ts';
import type { PersonView } from '../../protocol/chat-api.ts';
import type { SignInLinkAnswer } from '../../protocol/console-api.ts';
import type { AuthenticatorAnswer, LinkAnswer } from '../../protocol/people-api.ts';
import type { WhoamiView } from '../api-call.ts';
import { type Card, shorten } from '../card.ts';
import { age } from './time-words.ts';

const personCountMax = 40;
const surfaceNames = { slack: 'Slack', teams: 'Teams' } as const;

export function whoamiCard(whoami: WhoamiView): Card {
  const { isLinked, hasAuthenticator, roles, via } = whoami;
  if (!isLinked) return strangerCard(whoami);
  const grants = whoami.grants.map(grantWords);
  const held = grants.length > 0 ? grants : roles;
  return {
    title: `You are ${whoami.name}`,
    tone: 'neutral',
    audience: 'asker',
    fields: [
      { label: 'Roles', value: held.length === 0 ? 'none' : shorten(held.join(', '), 1000) },
      { label: 'Known by', value: via },
      {
        label: 'Approvals',
        value: hasAuthenticator
          ? 'your six-digit codes are set up'
          : 'no six-digit codes yet: `authenticator` sets them up',
      },
      ...(whoami.isOnCall ? [{ label: 'On call', value: 'yes' }] : []),
    ],
  };
}

/** Somebody in chat whom the engine does not know. */
function strangerCard(whoami: WhoamiView): Card {
  return {
    title: 'You are not linked to a person here yet',
    tone: 'warning',
    audience: 'asker',
    text: [
      'This chat account alone may do nothing. `link` gives you a one-time code, to be typed in a terminal by the person that you are.',
    ],
    fields: [{ label: 'Known by', value: whoami.via }],
    copyLine: 'link',
  };
}

/** A one-time code, only for who asked for it; or that it worked. */
export function linkCard(link: LinkAnswer, nowMs: number): Card {
  if (link.kind === 'linked') {
    return {
      title: `${surfaceNames[link.surface]} is linked: ${shorten(link.displayName || 'this account', 80)} is ${link.person}`,
      tone: 'good',
      audience: 'asker',
      text: [
        `What ${shorten(link.displayName || 'it', 80)} does there counts as done by ${link.person}, with the same roles. Not you? An admin can unlink it.`,
      ],
      copyLine: 'whoami',
    };
  }
  const left = age(link.expiresAtMs - nowMs);
  const isForTerminal = link.typeWhere === 'terminal';
  const where = isForTerminal ? 'in a terminal, as the person that you are' : 'in chat, as the account to be linked';
  return {
    title: `Type this within ${left}, ${where}`,
    tone: 'neutral',
    audience: 'asker',
    text: [
      `${isForTerminal ? '`dr' : '`/dr'} link ${link.code}\``,
      'Keep the code to yourself: whoever types it is taken for you. It is good once.',
    ],
    fields: [{ label: 'Code', value: link.code }],
  };
}

/** A link that signs in at the web console, only for who asked for it. */
export function signInLinkCard({ url, code, expiresAtMs }: SignInLinkAnswer, nowMs: number): Card {
  const left = age(expiresAtMs - nowMs);
  if (url === null) {
    return {
      title: 'No web console has said where it is',
      tone: 'warning',
      audience: 'asker',
      text: [
        'The bot serves it: its configuration needs a section `web`, and the bot must run. When it does, `console` gives you the link.',
        `If you know its address: the code there signs you in as yourself, once, within ${left}. Keep it to yourself.`,
      ],
      fields: [{ label: 'Code', value: code }],
    };
  }
  return {
    title: `Open this within ${left}: it signs you in at the web console`,
    tone: 'neutral',
    audience: 'asker',
    text: ['Keep it to yourself: whoever opens it is taken for you. It works once.'],
    link: { label: 'Open the web console', url },
    footer: '`console --sign-out` ends every session of yours there',
  };
}

/** The secret is seen once, by who asked for it, and nowhere else. */
export function authenticatorCard(answer: AuthenticatorAnswer): Card {
  if (answer.kind === 'confirmed') {
    return {
      title: 'Your six-digit codes are set up',
      tone: 'good',
      audience: 'asker',
      text: ['From now on an approval asks you for one. Each code is good once.'],
    };
  }
  return {
    title: 'Add this to your authenticator, then type the code that it shows',
    tone: 'neutral',
    audience: 'asker',
    text: ['Only you see this, and only now. Then: `authenticator 123456`, with your own six digits.'],
    fields: [
      { label: 'Secret', value: answer.secret },
      { label: 'Link', value: answer.uri },
    ],
  };
}

/** Who has which role, who is linked where, and who is on call. */
export function peopleCard(people: readonly PersonView[]): Card {
  const shown = [...people].sort((a, b) => a.name.localeCompare(b.name, 'en')).slice(0, personCountMax);
  const rest = people.length - shown.length;
  return {
    title: people.length === 1 ? '1 person' : `${people.length} people`,
    tone: 'neutral',
    audience: 'asker',
    table: {
      columns: ['Person', 'Roles', 'Linked', 'Codes', 'On call'],
      rows: shown.map((person) => [
        person.disabledAtMs === null ? person.name : `${person.name} (disabled)`,
        person.grants.length === 0 ? 'none' : shorten(person.grants.map(grantWords).join(', '), 120),
        linkWords(person),
        person.hasAuthenticator ? 'set up' : 'none',
        onCallWords(person),
      ]),
    },
    footer: `${rest > 0 ? `and ${rest} more · ` : ''}\`role <person> <role>\` changes roles; persons are added with \`lifeboat person add\` at the engine's host`,
  };
}

function onCallWords({ isOnCall, onCallPosition }: PersonView): string {
  if (!isOnCall) return '–';
  return onCallPosition === null ? 'yes' : `${onCallPosition + 1}`;
}

function linkWords({ links }: PersonView): string {
  const names = new Set(links.map((link) => surfaceNames[link.surface]));
  return names.size === 0 ? '–' : [...names].join(', ');
}

export function onCallCard(people: readonly PersonView[]): Card {
  const onCall = people
    .filter((person) => person.isOnCall)
    .sort((a, b) => (a.onCallPosition ?? 0) - (b.onCallPosition ?? 0));
  return {
    title: onCall.length === 0 ? 'Nobody is on call' : `On call: ${onCall.map((person) => person.name).join(', ')}`,
    tone: onCall.length === 0 ? 'warning' : 'neutral',
    audience: 'asker',
    text: [
      onCall.length === 0
        ? 'Critical alerts stay in the channel. An admin sets who is called: `oncall set <person…>`.'
        : 'Critical alerts that nobody takes go to the first after 5 minutes, to the others after 15. They may break glass; who put themselves on the list only after 24 h.',
    ],
    ...(onCall.length > 0 && { footer: '`people` shows who is linked where' }),
  };
}
