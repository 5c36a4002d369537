import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const unit = ['domain', 'protocol', 'bot', 'scenarios', 'house-rules'].map((folder) => `tests/${folder}/**/*.test.ts`);

// Fault tests start hundreds of programs: they need not be compiled anew each time.
const env = { NODE_COMPILE_CACHE: join(tmpdir(), 'lifeboat-compile-cache') };

/** Whatever is left at the end runs alone: the files that take minutes begin first. */
const longest = [
  'tests/faults/kill-at-random',
  'tests/engine/workflow/killed-engine',
  'tests/faults/wrong-input',
  'tests/web/journey',
  'tests/faults/killed-conversation',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = longest.findIndex((name) => moduleId.includes(name));
      return found === -1 ? longest.length : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    // Two cores: more files at once only makes the fault tests slower, not the whole run faster.
    maxWorkers: 2,
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    reporters: process.env.CI === undefined ? ['default'] : ['default', ['json', { outputFile: 'tests/results.json' }]],
    projects: [
      // `npm run check`: pure code, no servers.
      { test: { name: 'unit', env, include: unit, testTimeout: 20_000 } },
      // Against real parts: Postgres, QEMU, Azurite, file systems.
      {
        test: {
          name: 'parts',
          env,
          include: ['tests/**/*.test.ts'],
          exclude: unit,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
