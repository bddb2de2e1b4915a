import { renderToStaticMarkup } from 'react-dom/server';
import { expect, test } from 'vitest';
import type { SiemReport } from '#schemas/api/recordings/status.js';
import { SiemTable } from './siem.js';

const one = (some: Partial<SiemReport>): SiemReport => ({
  ...{ name: 'lake', format: 'ocsf', state: 'sending', error: '', sent: 0, refused: 0, waiting: 0, lag_ms: 0 },
  ...some,
});

const cells = (some: Partial<SiemReport>): readonly string[] =>
  [
    ...renderToStaticMarkup(<SiemTable destinations={[one(some)]} />).matchAll(/<t[dh](?: scope="row"| class="number")?>(.*?)<\/t[dh]>/g),
  ].map(([, cell]) => cell!.replace(/<[^>]+>/g, ''));

test('a destination that has everything has no lag', () => {
  expect(cells({ sent: 12 })).toEqual(['lake', 'ocsf', 'sending', '12 rows', '', '', 'none', '']);
});

test('one that fails says since when rows wait, how many, and why', () => {
  const failing = { state: 'failing', sent: 1, refused: 2, waiting: 3, lag_ms: 65_000, error: 'connect ECONNREFUSED <b>' } as const;
  expect(cells(failing)).toEqual(['lake', 'ocsf', 'failing', '1 row', '2 rows', '3 rows', '1 min 5 s', 'connect ECONNREFUSED &lt;b&gt;']);
  expect(renderToStaticMarkup(<SiemTable destinations={[one(failing)]} />)).toContain('class="failed"');
});
