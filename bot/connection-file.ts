import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { OutageError } from '../domain/outage.ts';
import { machineName } from '../protocol/api-fields.ts';
import { inputProblems } from '../protocol/input-problems.ts';

/**
 * `<state>/people/<name>.json`: how one person reaches the engine. The engine's main writes it; `dr` and the terminal read it.
 * Paths are absolute, or relative to the folder that the file is in. The key's file is readable by its owner only.
 */
export const connectionFile = z.object({
  engineUrl: z.url({ protocol: /^https$/ }),
  name: machineName,
  certificateFile: z.string().min(1),
  keyFile: z.string().min(1),
  certificateAuthorityFile: z.string().min(1),
});
export type ConnectionFile = z.infer<typeof connectionFile>;

/** What a connection file leads to, read into memory. All three are PEM. */
export type Connection = {
  readonly engineUrl: string;
  readonly name: string;
  readonly certificate: string;
  readonly key: string;
  readonly certificateAuthority: string;
};

/** Found, or why not; the message says what to do next. */
export type FoundConnection =
  | { readonly kind: 'found'; readonly connection: Connection }
  | { readonly kind: 'absent'; readonly message: string };

/**
 * Finds who to be: the person that is asked for, else the only one there is, else the one that is called like the login name; root is `admin`.
 *
 * @param stateFolders in the order in which they are tried; the first with people in it is taken
 * @throws OutageError when a file is there and cannot be read or understood
 */
export function findConnection(search: {
  readonly stateFolders: readonly string[];
  readonly person: string | undefined;
  readonly loginName: string | undefined;
}): FoundConnection {
  const folder = search.stateFolders
    .map((state) => path.join(state, 'people'))
    .find((people) => namesIn(people).length > 0);
  if (folder === undefined) {
    const looked = search.stateFolders.map((state) => path.join(state, 'people')).join(' and ');
    return {
      kind: 'absent',
      message: `No engine found (looked in ${looked}). Start one with \`npm start\`, or set LIFEBOAT_STATE to its folder.`,
    };
  }
  const names = namesIn(folder);
  // Whoever is root on the engine's host administers it.
  const login = search.loginName === 'root' && !names.includes('root') ? 'admin' : search.loginName;
  const wanted = search.person ?? (names.length === 1 ? names[0] : login);
  if (wanted !== undefined && names.includes(wanted)) {
    return { kind: 'found', connection: readConnection(path.join(folder, `${wanted}.json`)) };
  }
  const why = search.person === undefined ? 'Who are you?' : `There is no person \`${search.person}\` in ${folder}.`;
  return { kind: 'absent', message: `${why} Say --as <name>, with one of: ${names.join(', ')}.` };
}

function namesIn(people: string): string[] {
  if (!existsSync(people)) return [];
  const files = readdirSync(people).filter((file) => file.endsWith('.json'));
  return files.map((file) => file.slice(0, -'.json'.length)).sort();
}

/**
 * Reads a connection file and the three files that it names.
 *
 * @throws OutageError when one of them is missing or wrong
 */
export function readConnection(file: string): Connection {
  const read = (name: string) => readFileSync(path.resolve(path.dirname(file), name), 'utf8');
  try {
    const parsed = connectionFile.parse(JSON.parse(readFileSync(file, 'utf8')));
    return {
      engineUrl: parsed.engineUrl,
      name: parsed.name,
      certificate: read(parsed.certificateFile),
      key: read(parsed.keyFile),
      certificateAuthority: read(parsed.certificateAuthorityFile),
    };
  } catch (cause) {
    throw new OutageError(`reading who you are from ${file}`, {
      cause: cause instanceof z.ZodError ? inputProblems(cause) : cause,
      retryable: false,
      nextStep: 'start the engine again with `npm start`; it writes this file anew',
    });
  }
}
