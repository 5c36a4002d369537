import type { OverviewView } from '../../protocol/console-api.ts';
import { type RunView, routes } from '../../protocol/control-api.ts';
import type { Card } from '../card.ts';
import { webPaths } from './wire.ts';

/** Where a browser gets the console picture of a run. */
export function pictureAddress(runId: string): string {
  return `${webPaths.picture}${encodeURIComponent(runId)}`;
}

const runIdInPath = new RegExp(`^${routes.consolePicture.replace('.', '\\.').replace(':id', '([^/]+)')}$`);

/** The card with its picture at our own address: the path on the engine's host is nobody's business in a browser. */
export function cardForWeb(card: Card): Card {
  const { picture, ...rest } = card;
  const runId = picture === undefined ? undefined : runIdInPath.exec(picture.apiPath)?.[1];
  if (picture === undefined || runId === undefined) return rest;
  const address = pictureAddress(decodeURIComponent(runId));
  return { ...rest, picture: { ...picture, path: address, apiPath: address } };
}

/** The same for a run. */
export function runForWeb(run: RunView): RunView {
  if (run.result === null || run.result.consolePicture === null) return run;
  return { ...run, result: { ...run.result, consolePicture: pictureAddress(run.id) } };
}

export function siteForWeb(site: OverviewView): OverviewView {
  return { ...site, runs: site.runs.map(runForWeb) };
}
