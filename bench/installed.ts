import { spawnSync } from 'node:child_process';

/** True when the program can be found in the search path. */
export function isInstalled(program: string): boolean {
  return spawnSync('which', [program], { stdio: 'ignore' }).status === 0;
}

/** The first line of what a program says about its version; undefined when it is not installed. */
export function versionOf(program: string, ...parameters: string[]): string | undefined {
  if (!isInstalled(program)) return undefined;
  const said = spawnSync(program, parameters, { encoding: 'utf8' });
  return `${said.stdout}${said.stderr}`.trim().split('\n')[0];
}
