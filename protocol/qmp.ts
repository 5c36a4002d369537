import net from 'node:net';
import { z } from 'zod';
import { OutageError } from '../domain/outage.ts';

/**
 * One connection to a QEMU Machine Protocol socket. QEMU serves one client at a time on it.
 *
 * Commands may be sent without waiting for one another; QEMU runs them in order. Answers are `unknown`: the caller parses them.
 */
export type QmpConnection = {
  /** For people and errors. */
  readonly socketPath: string;
  /**
   * Runs one command and gives its `return` value.
   *
   * @throws QmpError when QEMU refuses the command
   * @throws OutageError (retryable) when the connection ends or the answer takes longer than `timeoutMs` (default 10 s)
   */
  execute(command: string, args?: QmpArguments, options?: { readonly timeoutMs?: number }): Promise<unknown>;
  /** The number of events so far: take it before a command whose event must not be missed, and give it to `waitForEvent`. */
  mark(): EventMark;
  /** The first event with that name that fits, among those since the mark (default: from now on). Rejects at the deadline. */
  waitForEvent(
    name: string,
    predicate: (event: QmpEvent) => boolean,
    options: { readonly timeoutMs: number; readonly since?: EventMark },
  ): Promise<QmpEvent>;
  /** Calls the listener for every later event; the returned function stops that. */
  onEvent(listener: (event: QmpEvent) => void): () => void;
  isOpen(): boolean;
  /** Resolves once, when the connection has ended for whatever reason. */
  readonly ended: Promise<void>;
  /** Ends the connection; commands under way reject. */
  close(): void;
};

export type QmpArguments = { readonly [name: string]: unknown };
export type EventMark = number;
export type QmpEvent = { readonly name: string; readonly data: { readonly [name: string]: unknown } };

/** QEMU's refusal of one command, in QEMU's own words. */
export class QmpError extends Error {
  override name = 'QmpError';
  readonly command: string;
  readonly errorClass: string;
  readonly description: string;

  constructor(command: string, errorClass: string, description: string) {
    super(`QEMU refused ${command}: ${description}`);
    this.command = command;
    this.errorClass = errorClass;
    this.description = description;
  }
}

const defaultCommandTimeoutMs = 10_000;
/** Pause between attempts while the socket is not there yet. */
const connectRetryMs = 20;
/** The longest line that is taken from QEMU; a longer one ends the connection. */
const lineLengthMax = 16 * 1024 * 1024;
/** How many past events are kept for `waitForEvent`. */
const eventsKeptMax = 1024;

const messageSchema = z.union([
  z.object({ QMP: z.looseObject({}) }),
  z.object({ event: z.string(), data: z.record(z.string(), z.unknown()).default({}) }),
  // Before the next one, which also fits an answer without a `return`.
  z.object({ id: z.number().optional(), error: z.object({ class: z.string(), desc: z.string() }) }),
  z.object({ id: z.number(), return: z.unknown() }),
]);
type Message = z.infer<typeof messageSchema>;

/**
 * Connects, waits for QEMU's greeting and negotiates. Tries again until the deadline while the socket is not there yet.
 *
 * @throws OutageError (retryable) at the deadline; when another client holds the socket, no greeting comes
 */
export async function connectQmp(socketPath: string, options: { readonly timeoutMs: number }): Promise<QmpConnection> {
  const deadlineMs = Date.now() + options.timeoutMs;
  const socket = await openSocket(socketPath, deadlineMs);
  const connection = new Connection(socketPath, socket);
  try {
    await withDeadline(connection.greeted, remainingMs(deadlineMs), () => noGreeting(socketPath));
    await connection.execute('qmp_capabilities', {}, { timeoutMs: Math.max(1000, remainingMs(deadlineMs)) });
  } catch (cause) {
    connection.close();
    throw cause;
  }
  return connection;
}

function noGreeting(socketPath: string): OutageError {
  return new OutageError(`QEMU did not answer on ${socketPath}`, {
    retryable: true,
    nextStep: 'See whether another program holds this QMP socket (QEMU serves one client at a time) or QEMU hangs.',
  });
}

async function openSocket(socketPath: string, deadlineMs: number): Promise<net.Socket> {
  for (;;) {
    try {
      return await connectOnce(socketPath);
    } catch (cause) {
      if (remainingMs(deadlineMs) === 0) {
        throw new OutageError(`connect to QEMU at ${socketPath}`, {
          cause,
          retryable: true,
          nextStep: 'See whether the machine runs and was started with this QMP socket.',
        });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, connectRetryMs));
  }
}

function connectOnce(socketPath: string): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(socketPath);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function remainingMs(deadlineMs: number): number {
  return Math.max(0, deadlineMs - Date.now());
}

function withDeadline<T>(promise: Promise<T>, timeoutMs: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), timeoutMs);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

type PendingCommand = {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
};

class Connection implements QmpConnection {
  readonly socketPath: string;
  readonly greeted: Promise<void>;
  readonly ended: Promise<void>;
  #socket: net.Socket;
  #received: string[] = [];
  #receivedLength = 0;
  #pending = new Map<number, PendingCommand>();
  #lastId = 0;
  #events: QmpEvent[] = [];
  #eventCount = 0;
  #listeners = new Set<(event: QmpEvent) => void>();
  #endError: Error | undefined;
  #onGreeting: () => void = () => {};
  #onGreetingFailed: (error: Error) => void = () => {};
  #onEnded: () => void = () => {};

  constructor(socketPath: string, socket: net.Socket) {
    this.socketPath = socketPath;
    this.#socket = socket;
    this.greeted = new Promise((resolve, reject) => {
      this.#onGreeting = resolve;
      this.#onGreetingFailed = reject;
    });
    // The deadline may have answered the caller already; the rejection must not count as unhandled then.
    this.greeted.catch(() => undefined);
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    socket.setEncoding('utf8');
    // With an encoding set, chunks are strings.
    socket.on('data', (chunk) => this.#receive(String(chunk)));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(undefined));
  }

  isOpen(): boolean {
    return this.#endError === undefined;
  }

  execute(command: string, args: QmpArguments = {}, options: { timeoutMs?: number } = {}): Promise<unknown> {
    if (this.#endError !== undefined) return Promise.reject(this.#endError);
    const timeoutMs = options.timeoutMs ?? defaultCommandTimeoutMs;
    const id = ++this.#lastId;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { command, resolve, reject });
    });
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    return withDeadline(answer, timeoutMs, () => {
      this.#pending.delete(id);
      return new OutageError(`QEMU did not answer ${command} within ${timeoutMs} ms`, { retryable: true });
    });
  }

  mark(): EventMark {
    return this.#eventCount;
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  waitForEvent(
    name: string,
    predicate: (event: QmpEvent) => boolean,
    options: { timeoutMs: number; since?: EventMark },
  ): Promise<QmpEvent> {
    const fits = (event: QmpEvent) => event.name === name && predicate(event);
    const firstKept = this.#eventCount - this.#events.length;
    const since = options.since ?? this.#eventCount;
    if (since < firstKept) {
      return Promise.reject(
        new OutageError(`too many QEMU events came while waiting for ${name}`, { retryable: true }),
      );
    }
    const past = this.#events.slice(since - firstKept).find(fits);
    if (past !== undefined) return Promise.resolve(past);
    if (this.#endError !== undefined) return Promise.reject(this.#endError);
    return this.#waitForLaterEvent(name, fits, options.timeoutMs);
  }

  close(): void {
    this.#socket.destroy();
    this.#end(undefined);
  }

  #waitForLaterEvent(name: string, fits: (event: QmpEvent) => boolean, timeoutMs: number): Promise<QmpEvent> {
    let stop = () => {};
    const arrived = new Promise<QmpEvent>((resolve, reject) => {
      stop = this.onEvent((event) => fits(event) && resolve(event));
      this.ended.then(() => reject(this.#endError));
    });
    const late = () => new OutageError(`QEMU did not send ${name} within ${timeoutMs} ms`, { retryable: true });
    return withDeadline(arrived, timeoutMs, late).finally(() => stop());
  }

  #receive(chunk: string): void {
    const lines = chunk.split('\n');
    // The last part is the start of a line whose end has not come yet.
    const rest = lines.pop() ?? '';
    for (const line of lines) {
      const whole = this.#received.join('') + line;
      this.#received = [];
      this.#receivedLength = 0;
      if (whole.trim() !== '') this.#take(whole);
    }
    this.#received.push(rest);
    this.#receivedLength += rest.length;
    if (this.#receivedLength > lineLengthMax) this.#fail(`QEMU sent more than ${lineLengthMax} bytes in one line`);
  }

  #take(line: string): void {
    const parsed = messageSchema.safeParse(parseJson(line));
    if (parsed.success) this.#dispatch(parsed.data);
    else this.#fail('QEMU sent a message of an unknown form');
  }

  #dispatch(message: Message): void {
    if ('QMP' in message) this.#onGreeting();
    else if ('event' in message) this.#keepEvent({ name: message.event, data: message.data });
    else this.#answer(message);
  }

  #answer(message: Exclude<Message, { QMP: unknown } | { event: unknown }>): void {
    // An answer without our id, or that comes after its deadline, has nobody to go to.
    const pending = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (pending === undefined || message.id === undefined) return;
    this.#pending.delete(message.id);
    if ('error' in message) {
      pending.reject(new QmpError(pending.command, message.error.class, message.error.desc));
    } else {
      pending.resolve(message.return);
    }
  }

  #keepEvent(event: QmpEvent): void {
    this.#events.push(event);
    this.#eventCount += 1;
    if (this.#events.length > eventsKeptMax) this.#events.shift();
    for (const listener of this.#listeners) listener(event);
  }

  #fail(message: string): void {
    this.#end(new OutageError(message, { retryable: true }));
    this.#socket.destroy();
  }

  #end(cause: Error | undefined): void {
    if (this.#endError !== undefined) return;
    const error = new OutageError(`the connection to QEMU at ${this.socketPath} has ended`, { cause, retryable: true });
    this.#endError = error;
    this.#onGreetingFailed(error);
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
    this.#onEnded();
  }
}

/** The parsed line; undefined (which fits no message) when it is not JSON. */
function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
