import { defineConfig } from 'vitest/config';

/** What Stryker runs, in its copy of the sources: tests of one module, without programs or servers (STENO_MUTATION_TESTS names them). */
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    runner: './test/mutation/runner.mjs',
    include: process.env['STENO_MUTATION_TESTS']!.split(','),
    exclude: ['**/node_modules/**', 'dist/**'],
    testTimeout: 60_000,
  },
});
