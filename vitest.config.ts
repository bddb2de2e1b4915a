import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { fastFiles } from './test/setup/fast.mjs';

/**
 * Files that add and remove network interfaces, which fails what a browser fetches at that moment (ERR_NETWORK_CHANGED). They run when
 * the others are done.
 */
const network = ['test/kube/**/*.test.ts', 'test/deploy/**/*.test.ts'];
/** Files that need the network, or the whole machine, to themselves. */
const alone = ['test/agent/{tunnel,destinations}.test.ts', 'test/kernel/joined.test.ts', 'test/end-to-end/crowd.test.ts'];
const include = ['**/*.test.ts', '**/*.test.tsx'];
const exclude = ['**/node_modules/**', 'dist/**'];
const fast = fastFiles();
/** Many files wait for processes of their own: one worker more than there are cores. vitest would take one fewer. */
const maxWorkers = availableParallelism() + 1;

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    runner: './test/setup/runner.mjs',
    globalSetup: './test/setup/start-up-files.mjs',
    pool: 'forks',
    // Nothing waits for a time; these end what hangs, also where other work takes both cores.
    testTimeout: 120_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    projects: [
      // Loading modules takes longer than most of these tests.
      { extends: true, test: { name: 'fast', include: fast, exclude, isolate: false, sequence: { groupOrder: 0 }, maxWorkers } },
      {
        extends: true,
        test: { name: 'beside', include, exclude: [...exclude, ...fast, ...network, ...alone], sequence: { groupOrder: 0 }, maxWorkers },
      },
      // Starting a cluster is mostly waiting.
      { extends: true, test: { name: 'network', include: network, exclude, sequence: { groupOrder: 1 }, maxWorkers: 2 } },
      { extends: true, test: { name: 'alone', include: alone, exclude, sequence: { groupOrder: 2 }, maxWorkers: 1 } },
    ],
  },
});
