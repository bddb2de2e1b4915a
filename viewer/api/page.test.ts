/** The page in real Chromium, against real stores: user actions, with the driver's keyboard and pointer. */
import { fileURLToPath } from 'node:url';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeProof, encodeSeekTable, readContainer } from '#schemas/recording/container.js';
import { partKey, recordingPrefix } from '#schemas/recording/layout.js';
import type { LineBody } from '#schemas/recording/line.js';
import { buildPage } from './testing/built-page.js';
import { executablePath, headless, watchPage } from './testing/chromium.js';
import { takePicture } from './testing/pictures.js';
import { recordLog } from './testing/event-log.js';
import { record } from './testing/recorded.js';
import type { Recorded } from './testing/recorded.js';
import { openStand } from './testing/stand.js';
import type { Stand } from './testing/stand.js';

let folder: string;
let stand: Stand;
let context: BrowserContext;
let page: Page;
let long: Recorded;
const complaints: string[] = [];

/** 200 seconds, one line a second with its number at the top left of a cleared screen; wider from second 100 on. */
function* counting(): Generator<readonly [number, LineBody]> {
  for (let second = 0; second <= 200; second++) {
    if (second === 100) yield [second * 1000, { code: 'r', data: '100x30' }];
    yield [second * 1000, { code: 'o', data: `\u001b[2J\u001b[Hsecond ${second}\r\n` }];
  }
}

const terminal = (): Promise<string> => page.locator('.ap-term').innerText();
const shows = (text: string): Promise<void> => expect.poll(terminal, { timeout: 60_000 }).toContain(text);
const hides = (text: string): Promise<void> => expect.poll(terminal, { timeout: 60_000 }).not.toContain(text);
const rows = (n: number): Promise<void> => expect.poll(() => page.locator('.row').count(), { timeout: 60_000 }).toBe(n);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-page-'));
  await buildPage(join(folder, 'web'));
  stand = await openStand(join(folder, 'web'));
  long = await record(stand, {
    user: 'alice',
    node: 'web-3',
    startedAt: Date.now() - 3_600_000,
    state: 'sealed',
    blocksPerPart: 20,
    lines: counting(),
    screen: [
      { text: 'second 41', offset_ms: 41_000 },
      { text: 'second 150', offset_ms: 150_000, index: 1 },
    ],
    events: [
      {
        kind: 'sftp',
        path: '/tmp/\u202egnp.exe',
        size: 2048,
        sha256: 'ab'.repeat(32),
        offset_ms: 60_000,
        outcome: 'success',
        data: '{"operation":"write","protocol":"sftp"}',
      },
      { kind: 'gap', reason: 'input_not_echoed', offset_ms: 90_000, index: 1 },
    ],
  });
  await record(stand, {
    user: 'bob',
    node: 'db-1',
    kind: 'exec',
    command: 'echo "<img src=x onerror=alert(1)>" \u001b[31m',
    startedAt: Date.now() - 7_200_000,
    state: 'sealed',
    tty: false,
    lines: [[0, { code: 'o', data: 'first\nsecond\n' }]],
    exitCode: 3,
  });
  context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    ...headless,
    viewport: { width: 1280, height: 800 },
  });
  page = context.pages()[0] ?? (await context.newPage());
  watchPage(page, complaints);
}, 120_000);

afterAll(async () => {
  await context?.close();
  await stand?.close();
  await rm(folder, { recursive: true, force: true });
});

test('there is a browser to test with', () => expect(existsSync(executablePath), executablePath).toBe(true));

test('every address that the page links to or has a view for is answered with the page; others are not', async () => {
  const sources = fileURLToPath(new URL('../web/', import.meta.url));
  const texts = (await readdir(sources, { recursive: true }))
    .filter((file) => file.endsWith('.tsx') && !file.includes('.test.'))
    .map((file) => readFileSync(join(sources, file), 'utf8'));
  // `to="/a"`, `path="/a/:id"`, `to={`/a/${id}/b${query}`}` and `path={/^\/(a|b)$/}`.
  const literal = texts.flatMap((text) => [...text.matchAll(/\b(?:to|path)=(?:"|\{`)(\/[^"`]*)/g)].map(([, target]) => target!));
  const addresses = literal.map((target) =>
    target
      .replace(/\$\{queryText.*/, '')
      .replace(/\/(?:\$\{(?:[^{}]|\{[^}]*\})*\}|:\w+)/g, '/01hf7yat0000000000000000ab')
      .replace(/\$.*/, ''),
  );
  const views = texts.flatMap((text) =>
    [...text.matchAll(/\/\^\\\/\((?:\?:)?([a-z|-]+)\)\$\//g)].flatMap(([, names]) => names!.split('|')),
  );
  const wanted = [...new Set([...addresses, ...views.map((name) => `/${name}`)])];
  expect(wanted.length).toBeGreaterThan(15);
  expect(wanted).toEqual(expect.arrayContaining(['/rules', '/terminal', '/join/01hf7yat0000000000000000ab', '/audit/views']));
  const answers = await Promise.all(wanted.map(async (address) => [address, (await fetch(`${stand.url}${address}`)).status]));
  expect(answers.filter(([, status]) => status !== 200)).toEqual([]);
  for (const none of ['/no-such-view', '/rules.json', '/assets/none.js'])
    expect((await fetch(`${stand.url}${none}`)).status, none).toBe(404);
});

describe('a person', () => {
  test('signs in by a link, which leaves no trace in the address', async () => {
    await page.goto(`${stand.url}/#sign-in=${stand.link('alice', 'all')}`);
    await page.waitForSelector('.row');
    expect(page.url()).toBe(`${stand.url}/`);
    expect(await page.locator('.who').innerText()).toContain('alice');
  });

  test('finds the sessions of a node by filter, and can link to that list', async () => {
    expect(await page.locator('.row').count()).toBe(2);
    await page.fill('input[name=node]', 'db-1');
    await rows(1);
    expect(new URL(page.url()).search).toBe('?node=db-1');
    await page.reload();
    await page.waitForSelector('.row');
    const row = await page.locator('.row').innerText();
    expect(row).toContain('<img src=x onerror=alert(1)>');
    expect(row).toContain('\\e[31m');
    await page.click('.clear');
    await rows(2);
  });

  test('sees the lines of a session without a terminal one under the other', async () => {
    await page.locator('.row', { hasText: 'bob' }).click();
    await page.waitForSelector('.player[data-phase=paused]');
    await shows('second');
    const text = (await terminal()).split('\n').map((line) => line.trimEnd());
    expect(text.slice(0, 2)).toEqual(['first', 'second']);
    await page.click('.nav >> nth=0');
  });

  test('opens a session and plays it to its end', async () => {
    await page.locator('.row', { hasText: 'alice' }).click();
    await page.waitForSelector('.player[data-phase=paused]');
    await shows('second 0');
    await page.selectOption('.speed select', '16');
    await page.keyboard.press('Space');
    await hides('second 0');
    await page.locator('.track').focus();
    await page.keyboard.press('End');
    await shows('second 200');
    await page.waitForSelector('.player[data-phase=ended]');
  });

  test('seeks by pointer and by key, across segments and sizes', async () => {
    const track = (await page.locator('.track').boundingBox())!;
    await page.mouse.click(track.x + track.width / 4, track.y + track.height / 2);
    await shows('second 50');
    await page.mouse.click(track.x + track.width * 0.75, track.y + track.height / 2);
    await shows('second 150');
    await page.locator('.track').focus();
    await page.keyboard.press('ArrowRight');
    await shows('second 155');
    await page.keyboard.press('Home');
    await shows('second 0');
    await page.click('.marker-gap');
    await shows('second 90');
  });

  test('sees what the session did beside its screen, and jumps there', async () => {
    const facts = await page.locator('.below').innerText();
    expect(facts).toContain('/tmp/\\u{202e}gnp.exe');
    expect(facts).toContain('2.0 KiB');
    await page.locator('.seek', { hasText: '1:00' }).click();
    await shows('second 60');
  });

  test('searches, and a hit opens the replay at its moment', async () => {
    await page.keyboard.press('/');
    await page.keyboard.type('second 41');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.found-hit');
    expect(await page.locator('.found-hit mark').allInnerTexts()).toEqual(['second', '41']);
    await page.click('.found-hit');
    await page.waitForSelector('.player[data-phase=paused]');
    await shows('second 41');
    expect(new URL(page.url()).searchParams.get('t')).toBe('41000');
    await page.waitForSelector('.marker-hit');
    expect(await page.locator('.hits-bar').innerText()).toContain('1 of 1');
  });

  test('follows a live session, looks back, returns, and replays it when it is over', async () => {
    const lines: (readonly [number, LineBody])[] = Array.from({ length: 12 }, (_, i) => [i * 1500, { code: 'o', data: `live ${i}\r\n` }]);
    const live = await record(stand, {
      user: 'carol',
      startedAt: Date.now() - 20_000,
      state: 'live',
      lines,
      storedParts: 1,
      blocksPerPart: 4,
    });
    const publish = (from: number, to: number): void => {
      for (const { n, lines: text } of live.blocks) if (n >= from && n <= to) stand.live.publish(live.id, n, text);
    };
    publish(5, 6);
    await page.goto(`${stand.url}/sessions/${live.id}`);
    await page.waitForSelector('.live-button.following');
    await shows('live 5');
    publish(7, 8);
    await shows('live 7');
    expect(await terminal()).toContain('live 0');
    await page.locator('.track').focus();
    await page.keyboard.press('Home');
    await hides('live 7');
    publish(9, 10);
    await page.click('.live-button');
    await shows('live 9');
    publish(11, 12);
    await shows('live 11');
    await live.seal();
    stand.live.end(live.id);
    await page.waitForSelector('.live-button', { state: 'detached' });
    await page.waitForSelector('.player[data-phase=ended]');
    await page.waitForSelector('.badge-sealed');
    await page.locator('.track').focus();
    await page.keyboard.press('Home');
    await hides('live 7');
    await page.keyboard.press('End');
    await shows('live 11');
  });

  test('opens at a moment given in the address', async () => {
    await page.goto(`${stand.url}/sessions/${long.id}?t=123000`);
    await shows('second 123');
  });

  test('verifies a recording in the browser, and is told which block is not what was signed', async () => {
    const verdictOf = async (id: string): Promise<string> => {
      await page.goto(`${stand.url}/sessions/${id}`);
      await page.click('.menu summary >> nth=0');
      await page.click('.verify-run');
      await page.waitForSelector('.verdict');
      return page.locator('.verdict').innerText();
    };
    const good = await verdictOf(long.id);
    expect(good).toContain('Verified: whole and unaltered');
    expect(good).toContain('alice as');
    expect(good).toContain('gateway gw-1');
    expect(await page.locator('.verify-own .command code').innerText()).toBe(`steno verify ${long.id}`);

    const bent = await record(stand, { user: 'mallory', state: 'sealed', blocksPerPart: 20, lines: counting() });
    // The third part has different content, in an intact frame and with a proof that was valid.
    const key = partKey(recordingPrefix(bent.id, bent.startedAt), 3);
    const altered = [...readContainer(await stand.objects.get(key))].map((segment) => {
      if (segment.kind !== 'data') return segment.kind === 'proof' ? encodeProof(segment.proof) : encodeSeekTable([]);
      const lines = Buffer.from(stand.zstd.decompress(segment.bytes)).toString('utf8');
      return stand.zstd.compress(Buffer.from(lines.replace('"\\u001b[2J\\u001b[Hsecond 45', '"\\u001b[2J\\u001b[Hsecond 54')), 3);
    });
    await stand.objects.delete(key);
    await stand.objects.put(key, Buffer.concat(altered));
    const bad = await verdictOf(bent.id);
    // One byte of the chain is kept per block: in 1 of 256 cases the following block is named.
    const named = Number(/Not verified: block (\d+)/.exec(bad)?.[1]);
    expect([46, 47]).toContain(named);
    expect(bad).toContain(`Everything up to 0:${named - 2} of session time is as it was signed.`);

    const live = await record(stand, { state: 'live', storedParts: 2, blocksPerPart: 20, lines: counting() });
    expect(await verdictOf(live.id)).toContain('No fault so far, and not finished');
    expect(stand.disclosures.filter((one) => one.event === 'recording.export' && one.session === long.id).length).toBe(1);
    expect(complaints).toEqual([]);
  });

  test('verifies the event log with the recording that names it, and tells a missing, unfinished, altered or foreign one', async () => {
    function* withLog(): Generator<readonly [number, LineBody]> {
      yield [0, { code: 'o', data: '$ true\r\n' }];
      yield [5, { code: 's', data: { fact: 'kernel', classes: ['exec'], error_ms: 1, log: true } }];
      yield [4_000, { code: 'x', data: '0' }];
    }
    const logged = await record(stand, { state: 'sealed', tty: false, kind: 'exec', command: 'true', lines: withLog() });
    const verdicts = async (): Promise<string> => {
      await page.goto(`${stand.url}/sessions/${logged.id}`);
      await page.click('.menu summary >> nth=0');
      await page.click('.verify-run');
      await page.waitForSelector('.verdict-good');
      return (await page.locator('.verdict').allInnerTexts()).join('\n');
    };
    const commands = ['true evidence', 'true more'];
    const missing = await verdicts();
    expect(missing).toContain('Event log missing');
    expect(missing).toContain('The recording itself is whole and unaltered');

    await recordLog(stand, logged, { commands });
    expect(await verdicts()).toContain('Event log not finished');

    const key = await recordLog(stand, logged, { commands, end: 'complete' });
    const good = await verdicts();
    expect(good).toContain('Verified: recording and event log, whole and unaltered');
    expect(good).toMatch(/Event log\s+3 blocks/);

    const altered = [...readContainer(await stand.objects.get(key))].map((segment) => {
      if (segment.kind !== 'data') return segment.kind === 'proof' ? encodeProof(segment.proof) : encodeSeekTable([]);
      const lines = Buffer.from(stand.zstd.decompress(segment.bytes)).toString('utf8');
      return stand.zstd.compress(Buffer.from(lines.replace('true evidence', 'true otherwise')), 3);
    });
    await stand.objects.delete(key);
    await stand.objects.put(key, Buffer.concat(altered));
    expect(await verdicts()).toContain('Event log not verified: its block 2');

    await recordLog(stand, logged, { commands, end: 'complete', session: long.id });
    expect(await verdicts()).toContain(`The event log is of session ${long.id}`);
    // The browser logs the response that there is no log.
    expect(complaints.splice(0).every((text) => text.startsWith('Failed to load resource'))).toBe(true);
  });

  test('opens a recording at a part that is damaged, and sees what is beside the damage', async () => {
    const torn = await record(stand, { user: 'mallory', state: 'sealed', blocksPerPart: 20, lines: counting() });
    const key = partKey(recordingPrefix(torn.id, torn.startedAt), 3);
    const bytes = Buffer.from(await stand.objects.get(key));
    bytes[30]! ^= 1;
    await stand.objects.delete(key);
    await stand.objects.put(key, bytes);
    await page.goto(`${stand.url}/sessions/${torn.id}?t=45000`);
    await page.waitForSelector('.player[data-phase=failed]');
    await page.locator('.track').focus();
    await page.keyboard.press('Home');
    await shows('second 0');
    // The browser logs the failed request for the damaged part.
    expect(complaints.splice(0).every((text) => text.startsWith('Failed to load resource'))).toBe(true);
  });

  test('sees from inside of which session another one was opened, and goes there', async () => {
    const startedAt = Date.now() - 600_000;
    const shown = { startedAt, state: 'sealed', kind: 'exec', tty: false, lines: [[0, { code: 'o', data: 'done\n' }]] } as const;
    const connection = { source_port: 40_001, address: '192.0.2.1', port: 3022, accepted_at: startedAt + 100, machine: '' };
    const outer = await record(stand, {
      ...shown,
      user: 'ola',
      node: 'jump-1',
      events: [
        {
          source: 'kernel',
          emitter: 'agent/jump-1',
          kind: 'connect',
          name: 'tcp',
          outcome: 'success',
          offset_ms: 100,
          address: connection.address,
          port: connection.port,
          data: JSON.stringify({ local_address: '192.0.2.7', local_port: connection.source_port }),
        },
      ],
    });
    const inner = await record(stand, {
      ...shown,
      user: 'ola',
      node: 'db-7',
      events: [{ kind: 'participant', address: '192.0.2.7', port: connection.source_port, data: JSON.stringify({ connection }) }],
    });
    await page.goto(`${stand.url}/sessions/${inner.id}`);
    await page.locator('.details a', { hasText: 'jump-1' }).click();
    await expect.poll(() => page.locator('.session-head').innerText(), { timeout: 60_000 }).toContain('jump-1');
    expect(new URL(page.url()).pathname).toBe(`/sessions/${outer.id}`);
    expect(await page.locator('.details').innerText()).not.toContain('Opened inside');
  });

  test('takes a file out of a recording, and sees why another cannot be had', async () => {
    const content = Buffer.from('one,two\n'.repeat(4000));
    const sha256 = createHash('sha256').update(content).digest('hex');
    const sent = Buffer.concat([Buffer.from(`C0644 ${content.length} list.csv\n`), content, Buffer.of(0)]);
    const moved = { fact: 'file', operation: 'write', size: content.length, sha256, outcome: 'success' } as const;
    const total = { fact: 'total', stream: 'in', bytes: sent.length, sha256: createHash('sha256').update(sent).digest('hex') } as const;
    const facts = [
      { ...moved, protocol: 'scp', path: '/srv/\u202elist.csv' },
      { ...moved, protocol: 'rsync', path: '/srv/<b>tree</b>' },
    ] as const;
    const { id } = await record(stand, {
      ...{
        user: 'frank',
        node: 'files-1',
        kind: 'exec',
        command: 'scp -t /srv',
        tty: false,
        state: 'sealed',
        startedAt: Date.now() - 9_000_000,
      },
      lines: [
        [10, { code: 'b', data: { stream: 'in', replaces: false, base64: sent.toString('base64') } }],
        ...facts.map((data, i) => [1000 + i * 500, { code: 's', data }] as const),
        [3000, { code: 's', data: total }],
      ],
      events: facts.map(({ path, protocol, operation, size }, index) => ({
        ...{ kind: 'file', path, size, sha256, index, offset_ms: 1000 + index * 500, outcome: 'success' },
        data: JSON.stringify({ operation, protocol }),
      })),
    });
    await page.goto(`${stand.url}/sessions/${id}`);
    const rows = page.locator('.facts', { hasText: 'Where it lay' }).locator('tbody tr');
    await expect.poll(() => rows.allInnerTexts(), { timeout: 20_000 }).toHaveLength(3);
    expect((await rows.allInnerTexts()).map((text) => text.replace(/\s+/g, ' '))).toEqual([
      expect.stringMatching(/^0:01 scp write .*u\{202e\}list\.csv Download .* 31 KiB /),
      expect.stringMatching(/^0:01 rsync write \/srv\/<b>tree<\/b> rsync sends differences.* 31 KiB /),
      expect.stringMatching(/^0:03 stream stdin Download .* 31 KiB /),
    ]);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      rows
        .first()
        .getByRole('link', { name: /Download/ })
        .click(),
    ]);
    expect(download.suggestedFilename()).toBe('_list.csv');
    expect(readFileSync(await download.path())).toEqual(content);
    expect(stand.disclosures.at(-1)).toMatchObject({ event: 'recording.export', session: id, format: 'file 1', code: null });
    await takePicture(page, 'files');
  });

  test('goes back to the list as it was, of which nothing is left to the next person', async () => {
    await page.goto(`${stand.url}/sessions`);
    await page.locator('.row').first().click();
    await page.waitForSelector('.session-head');
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    await page.route('**/api/sessions?*', async (route) => {
      await held;
      // A request for something no longer shown was aborted.
      await route.continue().catch(() => undefined);
    });
    await page.goBack();
    await page.waitForSelector('.row');
    await page.evaluate(`location.hash = '#sign-in=${stand.link('yann', 'own')}'`);
    await page.locator('.who', { hasText: 'yann' }).waitFor();
    expect(await page.locator('.row').count()).toBe(0);
    release();
    await page.waitForSelector('.empty');
    await page.unroute('**/api/sessions?*');
  });

  test('is told what to do when a link was used, and when signed out', async () => {
    expect(complaints).toEqual([]);
    await page.locator('.who button').click();
    await page.waitForSelector('.sign-in-card');
    // Sign in at a session's own address: this leads back to the session and its replay.
    await page.goto(`${stand.url}/sessions/${long.id}?t=123000`);
    await page.waitForSelector('.sign-in-card');
    // Within the same document, only the fragment changes.
    await page.goto(`${stand.url}/sessions/${long.id}?t=123000#sign-in=${stand.link('yves', 'all')}`);
    await shows('second 123');
    await page.locator('.who button').click();
    await page.waitForSelector('.sign-in-card');
    const link = stand.link('zoe', 'own');
    await page.goto(`${stand.url}/#sign-in=${link}`);
    await page.waitForSelector('.who');
    await page.locator('.who button').click();
    await page.waitForSelector('.sign-in-card');
    await page.goto(`${stand.url}/?again#sign-in=${link}`);
    await page.waitForSelector('[role=alert]');
    expect(await page.locator('.sign-in-card').innerText()).toContain('steno login --web');
  });
});
