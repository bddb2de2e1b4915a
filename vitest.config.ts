import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    include: ['**/*.test.ts', '**/*.test.tsx'],
    exclude: ['**/node_modules/**', 'dist/**'],
    runner: './test/setup/runner.mjs',
    globalSetup: './test/setup/start-up-files.mjs',
    pool: 'forks',
    // Many files wait for processes of their own: one worker more than there are cores. vitest would take one fewer.
    maxWorkers: availableParallelism() + 1,
    // Nothing waits for a time; these end what hangs, also where other work takes both cores.
    testTimeout: 120_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
