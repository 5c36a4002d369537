import {
  allocationContext,
  infoType,
  nbdOption,
  optionReply,
  transferBytesMax,
  transmissionFlag,
} from '../../protocol/nbd.ts';
import {
  decodeGo,
  decodeMetaContextQuery,
  encodeBlockSizeInfo,
  encodeExportInfo,
  encodeMetaContext,
  encodeOptionReply,
} from '../../protocol/nbd-handshake.ts';
import type { NbdExport } from './nbd-export.ts';

/** What client and server have agreed on when transmission begins. */
export type NbdSession = {
  readonly disk: NbdExport;
  readonly hasStructuredReplies: boolean;
  readonly hasAllocationContext: boolean;
};

export type OptionOutcome =
  | { readonly kind: 'go-on'; readonly replies: readonly Buffer[] }
  | { readonly kind: 'transmission'; readonly replies: readonly Buffer[]; readonly session: NbdSession }
  | { readonly kind: 'end'; readonly replies: readonly Buffer[] };

/** The id under which `base:allocation` is reported. */
export const allocationContextId = 1;
/** Small reads are fine; whole vault blocks are cheapest. */
const preferredBlockBytes = 65_536;

/** The options that one client has set so far. The server answers each option in turn; it never does I/O. */
export type Handshake = (option: number, data: Buffer) => OptionOutcome;

export function startHandshake(exports: ReadonlyMap<string, NbdExport>, hasNoZeroes: boolean): Handshake {
  let hasStructuredReplies = false;
  let contextExport: string | undefined;

  const session = (disk: NbdExport): NbdSession => ({
    disk,
    hasStructuredReplies,
    // A context counts only for the export that it was asked for.
    hasAllocationContext: hasStructuredReplies && contextExport === disk.name,
  });
  const acknowledge = (option: number, replies: readonly Buffer[] = []): OptionOutcome => ({
    kind: 'go-on',
    replies: [...replies, encodeOptionReply(option, optionReply.acknowledged)],
  });

  return (option, data) => {
    switch (option) {
      case nbdOption.exportName: {
        const disk = exports.get(data.toString('utf8'));
        // This old option has no way to say no.
        if (disk === undefined) return { kind: 'end', replies: [] };
        const replies = [oldStyleInfo(disk, hasStructuredReplies, hasNoZeroes)];
        return { kind: 'transmission', replies, session: session(disk) };
      }
      case nbdOption.abort:
        return { kind: 'end', replies: [encodeOptionReply(option, optionReply.acknowledged)] };
      case nbdOption.list:
        if (data.length > 0) return refuse(option, optionReply.errorInvalid);
        return acknowledge(option, [...exports.keys()].map(listReply));
      case nbdOption.structuredReply:
        if (data.length > 0) return refuse(option, optionReply.errorInvalid);
        hasStructuredReplies = true;
        return acknowledge(option);
      case nbdOption.listMetaContext:
      case nbdOption.setMetaContext: {
        const isSet = option === nbdOption.setMetaContext;
        if (isSet) contextExport = undefined;
        if (isSet && !hasStructuredReplies) return refuse(option, optionReply.errorInvalid);
        const { exportName, queries } = decodeMetaContextQuery(data);
        if (!exports.has(exportName)) return refuse(option, optionReply.errorUnknownExport);
        const isAsked = queries.some(isAllocationQuery) || (!isSet && queries.length === 0);
        if (isSet && isAsked) contextExport = exportName;
        return acknowledge(option, isAsked ? [contextReply(option)] : []);
      }
      case nbdOption.info:
      case nbdOption.go: {
        const { exportName, infoTypes } = decodeGo(data);
        const disk = exports.get(exportName);
        if (disk === undefined) return refuse(option, optionReply.errorUnknownExport);
        const outcome = acknowledge(option, infoReplies(option, disk, { hasStructuredReplies, infoTypes }));
        return option === nbdOption.go ? { ...outcome, kind: 'transmission', session: session(disk) } : outcome;
      }
      case nbdOption.startTls:
        return refuse(option, optionReply.errorPolicy);
      default:
        return refuse(option, optionReply.errorUnsupported);
    }
  };
}

function refuse(option: number, error: number): OptionOutcome {
  return { kind: 'go-on', replies: [encodeOptionReply(option, error)] };
}

function flagsOf(hasStructuredReplies: boolean): number {
  const { hasFlags, readOnly, canMultiConnect, sendDontFragment } = transmissionFlag;
  return hasFlags | readOnly | canMultiConnect | (hasStructuredReplies ? sendDontFragment : 0);
}

function oldStyleInfo(disk: NbdExport, hasStructuredReplies: boolean, hasNoZeroes: boolean): Buffer {
  // The same ten bytes as in the export information, without its type; old clients want 124 zeros after them.
  const info = encodeExportInfo({ sizeBytes: disk.sizeBytes, flags: flagsOf(hasStructuredReplies) }).subarray(2);
  return hasNoZeroes ? info : Buffer.concat([info, Buffer.alloc(124)]);
}

function listReply(name: string): Buffer {
  const text = Buffer.from(name, 'utf8');
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(text.length);
  return encodeOptionReply(nbdOption.list, optionReply.server, Buffer.concat([length, text]));
}

function contextReply(option: number): Buffer {
  // Listing uses no ids; the protocol wants zero there.
  const contextId = option === nbdOption.setMetaContext ? allocationContextId : 0;
  return encodeOptionReply(option, optionReply.metaContext, encodeMetaContext(contextId, allocationContext));
}

function isAllocationQuery(query: string): boolean {
  return query === allocationContext || query === 'base:';
}

function infoReplies(
  option: number,
  disk: NbdExport,
  asked: { readonly hasStructuredReplies: boolean; readonly infoTypes: readonly number[] },
): Buffer[] {
  const info = encodeExportInfo({ sizeBytes: disk.sizeBytes, flags: flagsOf(asked.hasStructuredReplies) });
  const replies = [encodeOptionReply(option, optionReply.info, info)];
  if (!asked.infoTypes.includes(infoType.blockSize)) return replies;
  const sizes = { minimumBytes: 1, preferredBytes: preferredBlockBytes, maximumBytes: transferBytesMax };
  return [...replies, encodeOptionReply(option, optionReply.info, encodeBlockSizeInfo(sizes))];
}
