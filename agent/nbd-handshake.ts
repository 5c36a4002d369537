import type net from 'node:net';
import { OutageError } from '../domain/outage.ts';
import {
  handshakeFlag,
  nbdOption,
  optionReply,
  optionReplyHeaderBytes,
  serverHandshakeBytes,
} from '../protocol/nbd.ts';
import {
  decodeExportInfo,
  decodeMetaContext,
  decodeOptionReplyHeader,
  decodeServerHandshake,
  encodeClientFlags,
  encodeGo,
  encodeMetaContextQuery,
  encodeOption,
  isOptionError,
} from '../protocol/nbd-handshake.ts';
import type { SocketReader } from '../protocol/socket-reader.ts';

export type AgreedExport = {
  readonly sizeBytes: number;
  /** Id on the wire of each meta context that was asked for. */
  readonly contexts: ReadonlyMap<string, number>;
};

type OptionReply = { readonly type: number; readonly data: Buffer };

/** How many replies one option may have. */
const repliesMax = 64;

/** The client's half of the handshake: structured replies, the meta contexts, then `go`. */
export async function negotiateExport(
  socket: net.Socket,
  reader: SocketReader,
  wanted: { readonly exportName: string; readonly metaContexts: readonly string[] },
): Promise<AgreedExport> {
  const flags = decodeServerHandshake(await reader.read(serverHandshakeBytes));
  socket.write(encodeClientFlags(flags & (handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes)));
  const ask = (option: number, data: Buffer) => askOption(socket, reader, option, data);
  const contexts = new Map<string, number>();
  if (wanted.metaContexts.length > 0) {
    await ask(nbdOption.structuredReply, Buffer.alloc(0));
    const query = encodeMetaContextQuery(wanted.exportName, wanted.metaContexts);
    for (const reply of await ask(nbdOption.setMetaContext, query)) {
      if (reply.type !== optionReply.metaContext) continue;
      const { contextId, name } = decodeMetaContext(reply.data);
      contexts.set(name, contextId);
    }
  }
  const missing = wanted.metaContexts.filter((name) => !contexts.has(name));
  if (missing.length > 0) throw refusal(`does not know ${missing.join(', ')}`);
  const replies = await ask(nbdOption.go, encodeGo(wanted.exportName, []));
  const info = replies.map((reply) => (reply.type === optionReply.info ? decodeExportInfo(reply.data) : undefined));
  const size = info.find((found) => found !== undefined);
  if (size === undefined) throw refusal('does not say how large the export is');
  return { sizeBytes: size.sizeBytes, contexts };
}

async function askOption(
  socket: net.Socket,
  reader: SocketReader,
  option: number,
  data: Buffer,
): Promise<OptionReply[]> {
  socket.write(encodeOption(option, data));
  const replies: OptionReply[] = [];
  while (replies.length < repliesMax) {
    const header = decodeOptionReplyHeader(await reader.read(optionReplyHeaderBytes));
    const payload = await reader.read(header.lengthBytes);
    if (isOptionError(header.type)) {
      throw refusal(`refused option ${option} (${header.type.toString(16)}): ${payload.toString('utf8')}`);
    }
    if (header.type === optionReply.acknowledged) return replies;
    replies.push({ type: header.type, data: payload });
  }
  throw refusal(`sent more than ${repliesMax} replies to one option`);
}

function refusal(what: string): OutageError {
  return new OutageError(`the NBD server ${what}`, { retryable: true });
}
