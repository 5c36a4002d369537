/** Where the person is; the address bar holds all of it, so that a link can be shared. */
export type Route =
  | { readonly kind: 'overview' }
  | { readonly kind: 'machine'; readonly name: string }
  | { readonly kind: 'approvals' }
  | { readonly kind: 'approval'; readonly id: string }
  | { readonly kind: 'alerts' }
  /** The last `days` days, or two whole days (UTC) and all between them when both are set. */
  | {
      readonly kind: 'report';
      readonly machine?: string;
      readonly days: number;
      readonly fromDay?: string;
      readonly toDay?: string;
    }
  | { readonly kind: 'sign-in' }
  | { readonly kind: 'unknown'; readonly path: string };

/** How far back a report looks when the address does not say. */
export const reportDaysDefault = 30;
const reportDaysMax = 366;

/** The route of an address of this page; anything else is `unknown`, never an error. */
export function parseRoute(path: string, query: URLSearchParams): Route {
  const [first = '', second, ...rest] = path.split('/').filter((part) => part !== '');
  const name = second === undefined ? undefined : decoded(second);
  if (rest.length > 0) return { kind: 'unknown', path };
  if (name !== undefined) {
    if (first === 'machines') return { kind: 'machine', name };
    if (first === 'approvals') return { kind: 'approval', id: name };
    return { kind: 'unknown', path };
  }
  switch (first) {
    case '':
      return { kind: 'overview' };
    case 'approvals':
    case 'alerts':
    case 'sign-in':
      return { kind: first };
    case 'report':
      return reportRoute(query);
    default:
      return { kind: 'unknown', path };
  }
}

/** The address of a route, with its query; the overview's own query stands in its state. */
export function pathOf(route: Route): string {
  switch (route.kind) {
    case 'overview':
      return '/';
    case 'machine':
      return `/machines/${encodeURIComponent(route.name)}`;
    case 'approval':
      return `/approvals/${encodeURIComponent(route.id)}`;
    case 'report': {
      const machine = route.machine === undefined ? '' : `machine=${encodeURIComponent(route.machine)}&`;
      const { fromDay, toDay } = route;
      const isBetween = fromDay !== undefined && toDay !== undefined;
      return `/report?${machine}${isBetween ? `from=${fromDay}&to=${toDay}` : `days=${route.days}`}`;
    }
    case 'unknown':
      return route.path;
    default:
      return `/${route.kind}`;
  }
}

/**
 * The path to go to after the sign-in: only one of this page, whatever a link says.
 *
 * @param origin of this page
 */
export function ownPath(wanted: string | null, origin: string): string {
  if (wanted === null || !wanted.startsWith('/') || !URL.canParse(wanted, origin)) return '/';
  const url = new URL(wanted, origin);
  if (url.origin !== origin || url.pathname === '/sign-in') return '/';
  return `${url.pathname}${url.search}`;
}

function reportRoute(query: URLSearchParams): Route {
  const machine = query.get('machine') ?? '';
  const days = Number(query.get('days') ?? reportDaysDefault);
  const isSensible = Number.isInteger(days) && days >= 1 && days <= reportDaysMax;
  return {
    kind: 'report',
    ...(machine !== '' && { machine }),
    days: isSensible ? days : reportDaysDefault,
    ...dayPair(query.get('from'), query.get('to')),
  };
}

/** Both days as `2026-11-30`, or neither. */
function dayPair(from: string | null, to: string | null): { fromDay: string; toDay: string } | undefined {
  return from !== null && to !== null && isDay(from) && isDay(to) && from <= to
    ? { fromDay: from, toDay: to }
    : undefined;
}

function isDay(text: string): boolean {
  return /^20\d\d-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));
}

/** Undefined for an address that is no text, such as `%ff`. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // A broken escape names no machine: shown as it was typed, and found nowhere.
    return part;
  }
}
