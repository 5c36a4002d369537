import { describe, expect, it } from 'vitest';
import { planCompaction, type SegmentUse } from '../../../engine/vault/compaction-plan.ts';

/** `live/blocks` for each segment of a chain, all of one epoch and one disk size. */
function chain(...uses: readonly string[]): SegmentUse[] {
  return uses.map((use, index) => {
    const [liveBlocks = 0, blocks = 0] = use.split('/').map(Number);
    const sequence = index + 1;
    const range = { epoch: 1, firstSequence: sequence, lastSequence: sequence };
    return { range, diskSizeBytes: 1_000_000, storedBytes: 500 + blocks * 30_000, blocks, liveBlocks };
  });
}

const sequences = (plan: SegmentUse[][]) => plan.map((run) => run.map(({ range }) => range.firstSequence));

describe('a compaction plan', () => {
  it('leaves alone what gives nothing back', () => {
    expect(planCompaction([])).toEqual([]);
    expect(planCompaction(chain('512/512', '512/512', '512/512'))).toEqual([]);
    expect(planCompaction(chain('5/5', '5/5', '5/5'))).toEqual([]);
  });

  it('joins segments of which much is dead', () => {
    expect(sequences(planCompaction(chain('1/10', '2/10', '10/10')))).toEqual([[1, 2, 3]]);
  });

  it('joins many small segments even when all of them live', () => {
    expect(sequences(planCompaction(chain(...Array<string>(8).fill('5/5'))))).toEqual([[1, 2, 3, 4, 5, 6, 7, 8]]);
  });

  it('does not rewrite large live segments between small dead ones', () => {
    expect(sequences(planCompaction(chain('512/512', '0/5', '0/5', '512/512', '0/9', '1/9')))).toEqual([
      [2, 3],
      [5, 6],
    ]);
  });

  it('makes no segment larger than a large batch', () => {
    const runs = planCompaction(chain(...Array<string>(12).fill('100/200')));
    for (const run of runs) expect(run.reduce((sum, each) => sum + each.liveBlocks, 0)).toBeLessThanOrEqual(512);
    expect(sequences(runs).flat()).toHaveLength(12);
  });

  it('never joins over an epoch or a change of the disk’s size', () => {
    const [a, b, c, d] = chain('0/9', '1/9', '0/9', '1/9') as [SegmentUse, SegmentUse, SegmentUse, SegmentUse];
    const raised = [c, d].map((use) => ({ ...use, range: { ...use.range, epoch: 2 } }));
    expect(sequences(planCompaction([a, b, ...raised]))).toEqual([
      [1, 2],
      [3, 4],
    ]);
    const grown = [c, d].map((use) => ({ ...use, diskSizeBytes: 2_000_000 }));
    expect(sequences(planCompaction([a, b, ...grown]))).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });
});
