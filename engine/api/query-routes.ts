import { open, realpath } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import {
  type EventView,
  eventView,
  hostView,
  type MachineView,
  machineView,
  type PointView,
  pointView,
  type RunView,
  routes,
  runView,
  versionView,
} from '../../protocol/control-api.ts';
import { listHostViews } from '../store/agents.ts';
import { listEvents } from '../store/events.ts';
import type { Store } from '../store/open.ts';
import { listPoints, type PointRecord, pointViewOf } from '../store/points.ts';
import { findRunView, listRunViews } from '../store/runs.ts';
import type { ApiDeps } from './deps.ts';
import { findByName } from './find-machine.ts';
import { listMachineViews } from './machine-views.ts';
import { answer, type Reply, refuse } from './reply.ts';
import type { Router } from './route.ts';

const waitMsMax = 20_000;
/** Events are looked for by ourselves too, in case that a notification was lost. */
const lookEveryMs = 1000;
const pictureBytesMax = 16 * 1024 * 1024;
const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

const eventsQuery = z.object({
  after: z.coerce.number().int().min(0).default(0),
  waitMs: z.coerce.number().int().min(0).max(waitMsMax).default(0),
});

const runsQuery = z.object({
  /** One machine; all of them if left out. */
  machine: z.string().min(1).max(100).optional(),
});
const runsOfMachineMax = 50;

/** What people may look at. */
export function addQueryRoutes(router: Router, deps: ApiDeps): void {
  const { store, heartbeatEveryMs, versions } = deps;
  const look = { method: 'GET', access: 'person', needs: 'look' } as const;
  router.add({
    ...look,
    url: routes.version,
    summary: 'Versions of the parts',
    answer: versionView,
    handle: async () => answer({ ...versions, node: process.version, postgres: store.version }),
  });
  router.add({
    ...look,
    url: routes.machines,
    summary: 'All machines, protected or not',
    answer: z.array(machineView),
    handle: async () => answer(await store.read((db) => listMachineViews(db, heartbeatEveryMs))),
  });
  router.add({
    ...look,
    access: 'looker',
    url: routes.machine,
    summary: 'One machine',
    answer: machineView,
    handle: ({ params }) => machineReply(deps, params.name ?? ''),
  });
  router.add({
    ...look,
    url: routes.points,
    summary: 'The recovery points of a machine, newest first',
    answer: z.array(pointView),
    handle: ({ params }) => pointsReply(store, params.name ?? ''),
  });
  router.add({
    ...look,
    url: routes.hosts,
    summary: 'The enrolled hosts and their guests',
    answer: z.array(hostView),
    handle: async () => answer(await store.read(listHostViews)),
  });
  addRunRoutes(router, deps);
}

function addRunRoutes(router: Router, deps: ApiDeps): void {
  const { store } = deps;
  const look = { method: 'GET', access: 'person', needs: 'look' } as const;
  router.add({
    ...look,
    url: routes.runs,
    summary: 'The newest runs, of one machine or of all',
    query: runsQuery,
    answer: z.array(runView),
    handle: ({ query }) => runsReply(store, query.machine),
  });
  router.add({
    ...look,
    access: 'looker',
    url: routes.run,
    summary: 'One run with its steps',
    answer: runView,
    async handle({ params }) {
      const run = await store.read((db) => findRunView(db, params.id ?? ''));
      return run === undefined ? unknownRun() : answer(run);
    },
  });
  router.add({
    ...look,
    access: 'looker',
    url: routes.consolePicture,
    summary: 'The console of the started machine, as PNG',
    answer: z.instanceof(Buffer),
    async handle({ params }) {
      const run = await store.read((db) => findRunView(db, params.id ?? ''));
      return run === undefined ? unknownRun() : pictureReply(deps.stateFolder, run.result?.consolePicture);
    },
  });
  router.add({
    ...look,
    access: 'looker',
    url: routes.events,
    summary: 'Events after a number; waits for the first',
    query: eventsQuery,
    answer: z.array(eventView),
    handle: async ({ query, signal }) => answer(await eventsAfter(store, query, signal)),
  });
}

async function runsReply(store: Store, machine: string | undefined): Promise<Reply<RunView[]>> {
  if (machine === undefined) return answer(await store.read((db) => listRunViews(db)));
  return store.read(async (db) => {
    const found = await findByName(db, machine);
    if (found.kind === 'refusal') return found;
    return answer(found.kind === 'guest' ? [] : await listRunViews(db, runsOfMachineMax, found.machine.name));
  });
}

function unknownRun() {
  return refuse('unknown-target', 'There is no run of this id.', { nextStep: '`list runs` shows the newest ones.' });
}

async function machineReply(deps: ApiDeps, name: string): Promise<Reply<MachineView>> {
  return deps.store.read(async (db) => {
    const found = await findByName(db, name);
    if (found.kind === 'refusal') return found;
    const wanted = found.kind === 'machine' ? found.machine.name : found.guest.name;
    const views = (await listMachineViews(db, deps.heartbeatEveryMs)).filter((view) => view.name === wanted);
    const view = views.find((one) => one.id !== null) ?? views[0];
    return view === undefined ? refuse('unknown-target', `There is no machine ${wanted} any more.`) : answer(view);
  });
}

async function pointsReply(store: Store, name: string): Promise<Reply<z.input<typeof pointView>[]>> {
  return store.read(async (db) => {
    const found = await findByName(db, name);
    if (found.kind === 'refusal') return found;
    return answer(found.kind === 'guest' ? [] : (await listPoints(db, found.machine.id)).map(listedPoint));
  });
}

function listedPoint(point: PointRecord): PointView {
  return { ...pointViewOf(point), changedBytes: point.changedBytes };
}

/** The events after a number; when there are none yet, waits for the first. */
async function eventsAfter(
  store: Store,
  query: z.output<typeof eventsQuery>,
  signal: AbortSignal,
): Promise<EventView[]> {
  const deadline = performance.now() + query.waitMs;
  let wake: () => void = () => undefined;
  const stopListening = store.onEvent(() => wake());
  try {
    while (true) {
      // Made before the look, so that an event in between is not slept over.
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const found = await store.read((db) => listEvents(db, query.after));
      const leftMs = deadline - performance.now();
      if (found.length > 0 || leftMs <= 0 || signal.aborted) return found;
      const timer = new AbortController();
      await Promise.race([woken, delay(Math.min(leftMs, lookEveryMs), undefined, { signal: timer.signal })]);
      timer.abort();
    }
  } finally {
    stopListening();
  }
}

/** The picture's real path; undefined when there is none. */
export async function findPicture(stateFolder: string, file: string | null | undefined): Promise<string | undefined> {
  if (!file) return undefined;
  const folder = await realpath(stateFolder);
  // A picture that is gone is the same to people as none.
  const real = await realpath(file).catch(() => undefined);
  // The path is of our own making; should a row ever say something else, nothing outside the state folder is read.
  return real?.startsWith(folder + path.sep) ? real : undefined;
}

async function pictureReply(stateFolder: string, file: string | null | undefined): Promise<Reply<Buffer>> {
  const none = refuse('unknown-target', 'This run has no console picture.');
  const real = await findPicture(stateFolder, file);
  if (real === undefined) return none;
  const handle = await open(real, 'r').catch((cause: unknown) => {
    throw new OutageError(`read the console picture ${real}`, { cause, retryable: true });
  });
  try {
    const { size } = await handle.stat();
    if (size > pictureBytesMax) return none;
    const picture = await handle.readFile();
    return picture.subarray(0, pngSignature.length).equals(pngSignature) ? answer(picture) : none;
  } finally {
    await handle.close();
  }
}
