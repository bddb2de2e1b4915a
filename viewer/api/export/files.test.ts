/** Files of a recording through the API: their list, their bytes, and who may download them. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { listRecordedFiles } from '#schemas/api/recordings/files.js';
import type { Answer } from '#schemas/endpoint/endpoint.js';
import type { LineBody, StreamFact } from '#schemas/recording/line.js';
import { record } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';
import { fileName } from './files.js';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const raw = (stream: 'in' | 'out', bytes: Buffer): LineBody => ({
  code: 'b',
  data: { stream, replaces: false, base64: bytes.toString('base64') },
});
const fact = (data: StreamFact): LineBody => ({ code: 's', data });
const states = ['parts', 'sealed', 'repacked'] as const;
const content = randomBytes(300_000);
/** As scp sends a file to a node: a header, the bytes, and a zero. */
const sent = Buffer.concat([Buffer.from(`C0644 ${content.length} report.pdf\n`), content, Buffer.of(0)]);

function* story(): Generator<readonly [number, LineBody]> {
  for (let i = 0; i < sent.length; i += 20_000) yield [100 + i / 100, raw('in', sent.subarray(i, i + 20_000))];
  const path = '/srv/"x"\r\n/report.pdf';
  const whole = { fact: 'file', protocol: 'scp', operation: 'write', size: content.length, outcome: 'success' } as const;
  yield [4000, fact({ ...whole, path, sha256: sha256(content) })];
  yield [4100, fact({ ...whole, path: '/srv/other', sha256: sha256(Buffer.from('other')) })];
  yield [4200, fact({ ...whole, protocol: 'rsync', path: '/srv/differences', sha256: sha256(content) })];
  yield [4300, fact({ fact: 'total', stream: 'in', bytes: sent.length, sha256: sha256(sent) })];
}

let stand: Stand;
const made = new Map<string, string>();
beforeAll(async () => {
  stand = await openStand();
  for (const state of states) {
    const options = { state, user: 'alice', tty: false, kind: 'exec', command: 'scp -t /srv', blocksPerPart: 2, lines: story() } as const;
    made.set(state, (await record(stand, options)).id);
  }
});
afterAll(() => stand.close());

const get = (id: string, rest: string, cookie = stand.signIn('root', 'all')): Promise<Response> =>
  fetch(`${stand.url}/api/sessions/${id}/files${rest}`, { headers: { cookie } });

describe.each(states)('of a recording stored as %s', (state) => {
  test('files are listed with why some cannot be had', async () => {
    const { files, more } = (await (await get(made.get(state)!, '')).json()) as Answer<typeof listRecordedFiles>;
    expect(more).toBe(0);
    expect(files.map(({ n, kind, protocol, operation, missing }) => [n, kind, protocol, operation, missing === null])).toEqual([
      [1, 'transfer', 'scp', 'write', true],
      [2, 'transfer', 'scp', 'write', true],
      [3, 'transfer', 'rsync', 'write', false],
      [4, 'stream', '', 'write', true],
    ]);
  });

  test('what is taken out is what the gateway hashed, or nothing', async () => {
    const id = made.get(state)!;
    const file = await get(id, '/1');
    expect(file.status).toBe(200);
    expect(file.headers.get('content-disposition')).toBe('attachment; filename="report.pdf"');
    expect(file.headers.get('content-type')).toBe('application/octet-stream');
    expect(sha256(Buffer.from(await file.arrayBuffer()))).toBe(sha256(content));
    expect(sha256(Buffer.from(await (await get(id, '/4')).arrayBuffer()))).toBe(sha256(sent));
    for (const [n, status, code] of [
      [2, 404, 'FILE_MISSING'],
      [3, 404, 'FILE_MISSING'],
      [5, 404, 'NOT_FOUND'],
      [0, 400, 'BAD_REQUEST'],
    ] as const) {
      const refused = await get(id, `/${n}`);
      expect([n, refused.status]).toEqual([n, status]);
      expect(await refused.json()).toMatchObject({ error: { code } });
    }
  });
});

test('who may view lists files, and takes none; the audit log is told of both', async () => {
  const id = made.get('sealed')!;
  stand.role('looker', { allow: { sessions: [{ actions: ['list', 'view'] }] } });
  const looker = stand.signIn('lou', 'looker');
  expect((await get(id, '', looker)).status).toBe(200);
  const refused = await get(id, '/1', looker);
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({ error: { code: 'ACCESS_DENIED' } });
  const stranger = await get(id, '', stand.signIn('carol', 'own'));
  expect(stranger.status).toBe(404);
  await get(id, '/1', stand.signIn('alice', 'own')).then((answer) => answer.arrayBuffer());
  const told = stand.disclosures.flatMap((one) => ('session' in one && one.session === id ? [one] : []));
  expect(told).toContainEqual(expect.objectContaining({ event: 'recording.view', actor: 'lou', code: null }));
  expect(told).toContainEqual(
    expect.objectContaining({ event: 'recording.export', actor: 'lou', format: 'file 1', code: 'ACCESS_DENIED' }),
  );
  expect(told).toContainEqual(expect.objectContaining({ event: 'recording.export', actor: 'alice', format: 'file 1', code: null }));
});

test('slots are given back, whatever becomes of a download', async () => {
  const id = made.get('sealed')!;
  for (let i = 0; i < 20; i += 1) {
    expect((await get(id, i % 2 === 0 ? '/2' : '/9')).status).toBe(404);
    const stopped = new AbortController();
    const cookie = stand.signIn('root', 'all');
    await fetch(`${stand.url}/api/sessions/${id}/files/1`, { headers: { cookie }, signal: stopped.signal });
    stopped.abort();
  }
  await expect.poll(async () => (await get(id, '/1')).status).toBe(200);
});

test.each([
  ['/srv/report.pdf', 'report.pdf'],
  ['a/..', 'file-7'],
  ['/x/.ssh', 'ssh'],
  ['', 'file-7'],
  ['/srv/', 'file-7'],
  ['-rf', 'rf'],
  ['/srv/a"b\r\nSet-Cookie: x', 'a_b__Set-Cookie__x'],
  ['/srv/\u202etxt.exe', '_txt.exe'],
  [`/srv/${'x'.repeat(300)}`, 'x'.repeat(100)],
])('the file of %j is called %s', (path, name) => expect(fileName({ n: 7, path })).toBe(name));
