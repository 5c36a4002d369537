import { type KeyObject, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { TLSSocket } from 'node:tls';
import { type AgentId, type DiskId, idFromBytes, type MachineId, type RecoveryPointId } from '../domain/ids.ts';
import { invariant } from '../domain/invariant.ts';
import { describeCauses } from '../domain/outage.ts';
import { dayMs, minuteMs } from '../domain/units.ts';
import type { IssuedKeyPair } from '../engine/certificate-authority.ts';
import { callerOf, secureServerOptions } from '../engine/tls.ts';
import {
  type AnnouncePointRequest,
  type Assignment,
  announcePointRequest,
  type GuestReport,
  type HeartbeatAnswer,
  heartbeatRequest,
  type ReplicationReport,
} from '../protocol/agent-api.ts';
import { routes } from '../protocol/control-api.ts';
import type { MachineHardware } from '../protocol/point-manifest.ts';
import { signGrant } from '../protocol/replication-grant.ts';

/**
 * The least engine that a real agent can work with: it hands out one machine, and hears of its points. There is no database behind it,
 * and no policy: a point is taken only when somebody asks for one.
 */
export type StandaloneEngine = {
  readonly url: string;
  readonly machineId: MachineId;
  /** Where agents find the process server; to be called before the agent starts. */
  readonly useProcessServer: (url: string) => void;
  /** Every point that the agent has announced, oldest first. */
  readonly points: () => readonly AnnouncedPoint[];
  /** Asks the agent for a point (found by its tracker) or for a comparison of everything, at its next heartbeat. */
  readonly ask: (kind: 'bookmark' | 'resync') => void;
  /** The agent's newest word about the machine. */
  readonly report: () => ReplicationReport | undefined;
  readonly heartbeatCount: () => number;
  readonly disks: () => Assignment['disks'];
  readonly hardware: () => MachineHardware;
  /** How the agent says that it finds changes. */
  readonly tracking: () => string;
  readonly close: () => Promise<void>;
};

export type AnnouncedPoint = { readonly pointId: RecoveryPointId; readonly point: AnnouncePointRequest };

export type StandaloneEngineSettings = {
  readonly serverKey: IssuedKeyPair;
  readonly grantSigningKey: KeyObject;
  readonly agentId: AgentId;
  readonly machineName: string;
};

/** Long enough that no capture of the policy falls into a measurement. */
const captureEveryMs = dayMs;
const heartbeatEveryMs = 100;

type EngineRequest = Assignment['requests'][number];
type EngineState = {
  processServerUrl: string;
  disks: Assignment['disks'];
  requests: EngineRequest[];
  report: ReplicationReport | undefined;
  heartbeatCount: number;
  guest: GuestReport | undefined;
  points: AnnouncedPoint[];
};

export async function startStandaloneEngine(settings: StandaloneEngineSettings): Promise<StandaloneEngine> {
  const machineId = idFromBytes('machine', randomBytes(10));
  const state: EngineState = {
    processServerUrl: '',
    disks: [],
    requests: [],
    report: undefined,
    heartbeatCount: 0,
    guest: undefined,
    points: [],
  };
  const server = createServer(secureServerOptions(settings.serverKey, 'if-offered'), (request, response) => {
    const handle = async () => {
      const { socket } = request;
      if (!(socket instanceof TLSSocket) || callerOf(socket, Date.now()).kind !== 'known')
        return { status: 401, body: { kind: 'unauthenticated', message: 'Who are you?' } };
      return { status: 200, body: answer(request.url ?? '', await bodyOf(request), { state, settings, machineId }) };
    };
    handle()
      .catch((error: unknown) => ({ status: 422, body: { kind: 'bad-request', message: describeCauses(error) } }))
      .then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `https://127.0.0.1:${port}`,
    machineId,
    useProcessServer(url) {
      state.processServerUrl = url;
    },
    points: () => state.points,
    ask(kind) {
      const requestId = idFromBytes('request', randomBytes(10));
      state.requests.push(kind === 'bookmark' ? { kind, requestId, reason: 'bench' } : { kind, requestId });
    },
    report: () => state.report,
    heartbeatCount: () => state.heartbeatCount,
    disks: () => state.disks,
    hardware: () => guestOf(state).hardware,
    tracking: () => guestOf(state).tracking,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type EngineContext = {
  readonly state: EngineState;
  readonly settings: StandaloneEngineSettings;
  readonly machineId: MachineId;
};

function answer(path: string, body: unknown, context: EngineContext): unknown {
  if (path === routes.heartbeat) return heartbeat(body, context);
  if (path === routes.announcePoint) return announcePoint(body, context.state);
  throw new Error(`the bench's engine has no ${path}`);
}

function heartbeat(body: unknown, { state, settings, machineId }: EngineContext): HeartbeatAnswer {
  const report = heartbeatRequest.parse(body);
  const guest = report.guests.find(({ name }) => name === settings.machineName);
  state.report = report.machines.find((machine) => machine.machineId === machineId) ?? state.report;
  state.requests = state.requests.filter(({ requestId }) => !report.doneRequests.includes(requestId));
  state.heartbeatCount += 1;
  if (guest !== undefined) {
    state.guest = guest;
    if (state.disks.length === 0) state.disks = guest.disks.map((disk) => ({ ...disk, diskId: newDiskId() }));
  }
  const assignments = state.disks.length === 0 ? [] : [assignmentOf({ state, settings, machineId })];
  return {
    engineNowMs: Date.now(),
    nextHeartbeatMs: heartbeatEveryMs,
    processServers: [state.processServerUrl],
    assignments,
  };
}

function assignmentOf({ state, settings, machineId }: EngineContext): Assignment {
  const disks = state.disks.map(({ diskId, sizeBytes }) => ({ diskId, sizeBytes }));
  const grant = { agentId: settings.agentId, machineId, disks, epoch: 1, notAfterMs: Date.now() + 10 * minuteMs };
  return {
    machineId,
    name: settings.machineName,
    epoch: 1,
    crashConsistentEveryMs: captureEveryMs,
    paused: false,
    disks: state.disks,
    grant: signGrant(grant, settings.grantSigningKey),
    requests: state.requests,
    isHeld: false,
  };
}

function announcePoint(body: unknown, state: EngineState): { pointId: RecoveryPointId } {
  const point = announcePointRequest.parse(body);
  const known = state.points.find((announced) => announced.point.captureId === point.captureId);
  if (known !== undefined) return { pointId: known.pointId };
  const pointId = idFromBytes('recoveryPoint', randomBytes(10));
  state.points.push({ pointId, point });
  return { pointId };
}

function guestOf(state: EngineState): GuestReport {
  invariant(state.guest, 'the agent has reported its machine');
  return state.guest;
}

function newDiskId(): DiskId {
  return idFromBytes('disk', randomBytes(10));
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}
