import { readFileSync } from 'node:fs';

/** One program that says that it is alive by writing a file. */
export type Watched = { readonly name: string; readonly file: string; readonly limitMs: number };

/** The watchdog's configuration file. It is checked by hand: the watchdog needs nothing but Node. */
export type WatchdogConfig = {
  readonly watched: readonly Watched[];
  /** Where people are told: one or two, so that one of them may be down as well. They get a POST with JSON, its words in `text`. */
  readonly webhooks: readonly URL[];
  /** Pinged every minute while all is well with the watchdog itself; whoever watches it notices when that ends. */
  readonly externalMonitor: URL | undefined;
  /** What was told already, so that a restart does not repeat it. */
  readonly stateFile: string;
  readonly checkEveryMs: number;
  readonly repeatAfterMs: number;
};

/** @throws Error that names the field, when the file cannot be used */
export function readWatchdogConfig(file: string): WatchdogConfig {
  const fields = objectAt(parse(file), file, ['watched', 'webhooks', 'externalMonitorUrl', 'stateFile', ...figures]);
  const watched = arrayAt(fields.watched, 'watched', 20).map((one, index) => watchedAt(one, `watched[${index}]`));
  if (new Set(watched.map(({ name }) => name)).size < watched.length) {
    throw new Error('watched: two of them have the same name');
  }
  const webhooks = arrayAt(fields.webhooks, 'webhooks', 2).map((one, index) => urlAt(one, `webhooks[${index}]`));
  return {
    watched,
    webhooks,
    externalMonitor:
      fields.externalMonitorUrl === undefined ? undefined : urlAt(fields.externalMonitorUrl, 'externalMonitorUrl'),
    stateFile: pathAt(fields.stateFile, 'stateFile'),
    checkEveryMs: msAt(fields.checkEverySeconds, 'checkEverySeconds', 5),
    repeatAfterMs: msAt(fields.repeatAfterSeconds, 'repeatAfterSeconds', 3600),
  };
}

const figures = ['checkEverySeconds', 'repeatAfterSeconds'] as const;

function parse(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new Error(`read the configuration ${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

function watchedAt(value: unknown, where: string): Watched {
  const fields = objectAt(value, where, ['name', 'file', 'limitSeconds']);
  const { name } = fields;
  if (typeof name !== 'string' || name === '' || name.length > 60) throw new Error(`${where}.name: a short text`);
  return {
    name,
    file: pathAt(fields.file, `${where}.file`),
    limitMs: msAt(fields.limitSeconds, `${where}.limitSeconds`, 60),
  };
}

function objectAt(value: unknown, where: string, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${where}: a JSON object`);
  const fields: Record<string, unknown> = { ...value };
  const unknown = Object.keys(fields).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new Error(`${where}: there is no field ${unknown}; there are ${known.join(', ')}`);
  return fields;
}

function arrayAt(value: unknown, where: string, countMax: number): unknown[] {
  if (Array.isArray(value) && value.length >= 1 && value.length <= countMax) return value;
  throw new Error(`${where}: a list of 1 to ${countMax}`);
}

function urlAt(value: unknown, where: string): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url;
  throw new Error(`${where}: an http or https URL`);
}

function pathAt(value: unknown, where: string): string {
  if (typeof value === 'string' && value.startsWith('/')) return value;
  throw new Error(`${where}: an absolute path`);
}

function msAt(value: unknown, where: string, defaultSeconds: number): number {
  const seconds = value ?? defaultSeconds;
  if (typeof seconds === 'number' && seconds >= 0.1 && seconds <= 86_400) return seconds * 1000;
  throw new Error(`${where}: seconds, from 0.1 to 86400`);
}
