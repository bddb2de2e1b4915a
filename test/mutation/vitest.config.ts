import { defineConfig } from 'vitest/config';

/** Stryker's vitest configuration in its copy of the sources: tests of one module, named by STENO_MUTATION_TESTS, without programs or servers. */
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
