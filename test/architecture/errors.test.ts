import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorCatalogue } from '#schemas/base/errors.js';
import type { ErrorEntry } from '#schemas/base/errors.js';
import { errorsTable } from './errors-table.js';

const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');

describe('docs/errors.md', () => {
  it('has the table that the catalogue makes (npm run docs:errors writes it)', () => {
    expect(page).toContain(errorsTable());
  });

  it('names no code that the catalogue lacks', () => {
    const known = new Set<string>(Object.keys(errorCatalogue));
    const named = [...page.matchAll(/`([A-Z]{2,}(?:_[A-Z]+)+|LOCKED|DRAINING|USAGE|INTERNAL)`/g)].map(([, code]) => code!);
    expect(named.filter((code) => !known.has(code) && !code.startsWith('STENO_'))).toEqual([]);
  });

  it('messages are clauses without a full stop, and fixes are sentences', () => {
    for (const [code, { message, fix }] of Object.entries<ErrorEntry>(errorCatalogue)) {
      expect(message, code).not.toMatch(/\.$/);
      expect(fix, code).toMatch(/\.$/);
    }
  });

  it('each verdict of verification has an exit code of its own', () => {
    const exits = Object.entries<ErrorEntry>(errorCatalogue)
      .filter(([code]) => code.startsWith('VERIFY_'))
      .map(([, { exit }]) => exit);
    expect(new Set(exits).size).toBe(exits.length);
  });
});
