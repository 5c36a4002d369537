import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const unit = ['domain', 'protocol', 'bot', 'scenarios', 'house-rules'].map((folder) => `tests/${folder}/**/*.test.ts`);

// Fault tests start hundreds of programs: they need not be compiled anew each time.
const env = { NODE_COMPILE_CACHE: join(tmpdir(), 'lifeboat-compile-cache') };

export default defineConfig({
  test: {
    // Two cores: more files at once only makes the fault tests slower, not the whole run faster.
    maxWorkers: 2,
    pool: 'forks',
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
