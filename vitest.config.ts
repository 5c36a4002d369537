import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores: more files at once only makes the timing of the fault tests noisier.
    maxWorkers: 2,
    pool: 'forks',
  },
});
