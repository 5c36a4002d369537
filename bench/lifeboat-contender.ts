import type { Contender, ContenderSession } from './contender.ts';
import { type LifeboatSite, openLifeboatSite, type SiteCost } from './lifeboat-site.ts';
import { type Cost, storedBytes } from './measure.ts';
import type { ShippedBytes } from './results.ts';

/** Our site in one round, with what only we are asked for. */
export type LifeboatSession = ContenderSession & {
  readonly site: LifeboatSite;
  readonly untracked: () => Promise<Cost>;
  /** Of the newest point: see `SiteCost`. */
  readonly shippedBytes: () => ShippedBytes;
};

/** How we stand in the tables; rounds open a session by `openLifeboat`. */
export function lifeboatContender(version: string): Omit<Contender, 'open'> {
  return {
    name: 'lifeboat',
    settings:
      'agent and process server on loopback with mutual TLS, encrypted vault in a directory, every segment fsynced',
    version,
    roundsMax: Number.POSITIVE_INFINITY,
  };
}

export async function openLifeboat(folder: string, sourcePath: string): Promise<LifeboatSession> {
  const site = await openLifeboatSite(folder, sourcePath);
  let shipped: ShippedBytes = { changedBytes: 0, sentBytes: 0 };
  const counting = (copy: () => Promise<SiteCost>) => async () => {
    const cost = await copy();
    shipped = { changedBytes: cost.changedBytes, sentBytes: cost.sentBytes };
    return cost;
  };
  return {
    site,
    initial: counting(site.initialCopy),
    increment: counting(site.trackedIncrement),
    untracked: counting(site.untrackedIncrement),
    restore: site.restore,
    shippedBytes: () => shipped,
    repositoryBytes: () => storedBytes(site.vaultFolder),
    close: site.close,
  };
}
