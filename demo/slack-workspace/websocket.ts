import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/** A text line to one client over a web socket (RFC 6455): just enough for Socket Mode. */
export type TextLine = {
  readonly send: (text: string) => void;
  /** Ends it as a server does when it goes away: with a close frame. */
  readonly close: () => void;
  /** Ends it as a cut cable does. */
  readonly cut: () => void;
};

const acceptGuid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const opcodes = { text: 1, close: 8, ping: 9, pong: 10 } as const;
const frameBytesMax = 1_048_576;

/** Answers the upgrade and reads what the client sends. */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  on: { readonly text: (text: string) => void; readonly closed: () => void },
): TextLine {
  const key = String(request.headers['sec-websocket-key']);
  const accept = createHash('sha1').update(`${key}${acceptGuid}`).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  const write = (opcode: number, payload: Buffer) => {
    if (!socket.destroyed) socket.write(frameOf(opcode, payload));
  };
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let frame = readFrame(rest); frame !== undefined; frame = readFrame(rest)) {
      rest = rest.subarray(frame.sizeBytes);
      if (frame.opcode === opcodes.text) on.text(frame.payload.toString('utf8'));
      if (frame.opcode === opcodes.ping) write(opcodes.pong, frame.payload);
      if (frame.opcode === opcodes.close) {
        write(opcodes.close, frame.payload);
        socket.end();
      }
    }
  });
  socket.on('close', on.closed);
  socket.on('error', on.closed);
  return {
    send: (text) => write(opcodes.text, Buffer.from(text)),
    close: () => write(opcodes.close, Buffer.from([0x03, 0xe8])),
    cut: () => socket.destroy(),
  };
}

function frameOf(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  if (length < 126) return Buffer.concat([Buffer.from([0x80 | opcode, length]), payload]);
  const head = Buffer.alloc(length < 65_536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}

type Frame = { readonly opcode: number; readonly payload: Buffer; readonly sizeBytes: number };

/** The first whole frame; undefined until it is there. Clients mask what they send. */
function readFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  const start = 2 + lengthBytes + 4;
  if (bytes.length < start) return undefined;
  const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  if (length > frameBytesMax) throw new RangeError('a frame of the client is too long');
  if (bytes.length < start + length) return undefined;
  const mask = bytes.subarray(start - 4, start);
  const payload = Buffer.from(bytes.subarray(start, start + length));
  for (let index = 0; index < length; index += 1) payload[index] = (payload[index] ?? 0) ^ (mask[index % 4] ?? 0);
  return { opcode: bytes.readUInt8(0) & 0x0f, payload, sizeBytes: start + length };
}
