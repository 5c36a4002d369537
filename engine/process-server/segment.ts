import type { IncomingMessage } from 'node:http';
import { OutageError } from '../../domain/outage.ts';
import type { Position } from '../../domain/position.ts';
import {
  contentDigestHeader,
  parseContentDigest,
  parsePosition,
  previousHeader,
  segmentBodyBytesMax,
  segmentDataBytesMax,
} from '../../protocol/change-stream.ts';
import { type HrlContent, hrlLimitsDefault, readHrl } from '../../protocol/hrl.ts';
import { coalesceRecords } from '../../protocol/hrl-coalesce.ts';
import type { ChangeBatch } from '../vault/vault.ts';
import { type Admitted, type Refused, refused } from './admission.ts';

/** What a PUT says before its body comes. */
export type SegmentHead = {
  readonly kind: 'segment';
  readonly lengthBytes: number;
  readonly contentDigest: Buffer;
  readonly previous: Position;
};

/** Reads and checks the headers of a PUT; nothing of the body's size has been allocated yet. */
export function segmentHead(request: IncomingMessage, epoch: number): SegmentHead | Refused {
  const lengthText = request.headers['content-length'];
  if (lengthText === undefined || !/^\d{1,15}$/.test(lengthText)) {
    return refused(400, 'bad-request', 'A segment needs a content-length header.');
  }
  const lengthBytes = Number(lengthText);
  if (lengthBytes > segmentBodyBytesMax) {
    return refused(
      413,
      'too-large',
      `The segment has ${lengthBytes} bytes; at most ${segmentBodyBytesMax} are allowed.`,
    );
  }
  const contentDigest = parseContentDigest(headerText(request, contentDigestHeader));
  if (contentDigest === undefined) {
    return refused(400, 'bad-request', `A segment needs ${contentDigestHeader}: sha-256=:<base64>:.`);
  }
  const previous = parsePosition(headerText(request, previousHeader));
  if (previous === undefined) return refused(400, 'bad-request', `A segment needs ${previousHeader}.`);
  if (previous.epoch > epoch) {
    return refused(403, 'fenced', `The disk is in epoch ${previous.epoch}; the grant is for epoch ${epoch}.`);
  }
  return { kind: 'segment', lengthBytes, contentDigest, previous };
}

/**
 * Checks a body's structure and turns it into what the vault appends: the writes are views of the body where possible. Whether they
 * are the ones that the content digest names, the vault sees when it seals them.
 */
export function batchFrom(
  body: Buffer,
  head: SegmentHead,
  admitted: Admitted,
): { readonly kind: 'batch'; readonly batch: ChangeBatch } | Refused {
  try {
    const content = readHrl(body, hrlLimitsDefault);
    const dataBytes = dataBytesOf(content);
    if (dataBytes > segmentDataBytesMax) {
      return refused(413, 'too-large', `The segment has ${dataBytes} bytes of data; at most ${segmentDataBytesMax}.`);
    }
    const batch: ChangeBatch = {
      epoch: admitted.epoch,
      previous: head.previous,
      diskSizeBytes: admitted.diskSizeBytes,
      contentDigest: head.contentDigest.toString('hex'),
      writes: coalesceRecords(content.records, admitted.diskSizeBytes),
    };
    return { kind: 'batch', batch };
  } catch (error) {
    if (error instanceof OutageError) return refused(422, 'bad-content', `${error.message}.`);
    throw error;
  }
}

function dataBytesOf(content: HrlContent): number {
  return content.records.reduce((sum, record) => sum + record.data.length, 0);
}

function headerText(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}
