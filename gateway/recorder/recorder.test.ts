import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryIngest } from '#runtime/uplink/memory-ingest.js';
import { startRecorder } from './start.js';
import type { RunningRecorder } from './start.js';
import { checkRecording, facts, parseLines, spooledLines, textOf, trialDeps, trialFolder } from '../testing/recorder.js';

let folder: ReturnType<typeof trialFolder>;
let ingest: MemoryIngest;
let recorder: RunningRecorder | null = null;

beforeEach(async () => {
  folder = trialFolder();
  ingest = new MemoryIngest();
  await ingest.listen();
});
afterEach(async () => {
  await recorder?.close();
  recorder = null;
  await ingest.close();
  folder.remove();
});

const start = async (connected = true): Promise<RunningRecorder> =>
  (recorder = await startRecorder({ spool: folder.path, gateway: 'gw-1' }, trialDeps(connected ? ingest : null)));

const term = { cols: 80, rows: 24 };

describe('a terminal session', () => {
  test('is in the spool byte for byte when output returns, before any line is closed', async () => {
    const session = await (await start(false)).open(facts(), term);
    session.output('out', Buffer.from('hello "world"\r\n\x1b[1m'));
    const bytes = spooledLines(folder.path, session.session).toString();
    expect(bytes).toContain('"hello \\"world\\"\\r\\n\\u001b[1m');
    session.output('out', Buffer.from('x'));
    expect(spooledLines(folder.path, session.session).toString().length).toBeGreaterThan(bytes.length);
  });

  test('returns the output so far, and the bytes of an incomplete character', async () => {
    const session = await (await start(false)).open(facts(), term);
    session.output('out', Buffer.from('one\r\n'));
    session.resize(90, 30);
    session.output('out', Buffer.concat([Buffer.from('two'), Buffer.from('€').subarray(0, 2)]));
    const { lines, whole, held } = session.history();
    expect(whole).toBe(true);
    expect(`${lines.toString()}"]`.split('\n').map((line) => (JSON.parse(line) as unknown[]).slice(1))).toEqual([
      ['o', 'one\r\n'],
      ['r', '90x30'],
      ['o', 'two'],
    ]);
    expect(held).toEqual(Buffer.from('€').subarray(0, 2));
  });

  test('arrives at ingest complete, chained and signed, and leaves the spool', async () => {
    const session = await (await start()).open(facts(), term, 'top');
    session.resize(2000, 0);
    session.output('out', Buffer.from('$ '));
    session.output('out', Buffer.from('größer 漢字\r\n'));
    session.participant({ action: 'joined', user: 'bob', mode: 'observer', source_address: '::1' });
    session.exit(0);
    await session.close();
    const parsed = checkRecording(await ingest.closedSession(session.session));
    expect(parsed.header).toMatchObject({ command: 'top', steno: { counter: 1, gateway: 'gw-1', user: 'alice' } });
    expect(textOf(parsed, 'o')).toBe('$ größer 漢字\r\n');
    // Output of two writes is one line or two, depending on the time between them.
    const codes = parsed.lines.map(({ code }) => code).filter((code, i, all) => code !== 'o' || all[i - 1] !== 'o');
    expect(codes).toEqual(['r', 'o', 'j', 'x', 's']);
    const shown = Buffer.from('$ größer 漢字\r\n');
    expect(parsed.lines.at(-1)?.data).toEqual({
      fact: 'total',
      stream: 'out',
      bytes: shown.length,
      sha256: createHash('sha256').update(shown).digest('hex'),
    });
    expect(parsed.lines[0]).toMatchObject({ data: '1000x1' });
    await recorder!.close();
    expect(readdirSync(folder.path).filter((name) => name.startsWith(session.session))).toEqual([]);
    expect(ingest.faults).toEqual([]);
  });

  test('records clipboard accesses and pastes after the output or input they concern', async () => {
    const session = await (await start()).open(facts(), term);
    const copy = `\x1b]52;c;${Buffer.from('copied').toString('base64')}\x07`;
    session.output('out', Buffer.from(`$ ${copy.slice(0, 7)}`));
    session.output('out', Buffer.from(copy.slice(7)));
    session.output('out', Buffer.from(copy));
    session.input(Buffer.from('echo a\r'.repeat(400)));
    session.exit(0);
    await session.close();
    const parsed = checkRecording(await ingest.closedSession(session.session));
    const told = parsed.lines.flatMap(({ code, data }) => (code === 's' ? [data as { readonly fact: string }] : []));
    expect(told.filter(({ fact }) => fact === 'clipboard' || fact === 'paste')).toEqual([
      { fact: 'clipboard', action: 'write', selection: 'c', count: 1, bytes: 6, largest: 6, hides: false },
      { fact: 'paste', bytes: 2_800, lines: 400, bracketed: false, ms: 0 },
      { fact: 'clipboard', action: 'write', selection: 'c', count: 1, bytes: 6, largest: 6, hides: false },
    ]);
    expect(textOf(parsed, 'o')).toBe(`$ ${copy}${copy}`);
    expect(JSON.stringify(told)).not.toContain('copied');
  });

  test('without a terminal records neither', async () => {
    const session = await (await start()).open(facts({ kind: 'exec', tty: false }), term, 'cat');
    session.output('out', Buffer.from('\x1b]52;c;eA==\x07'));
    session.input(Buffer.alloc(5_000, 'x'));
    await session.close();
    const parsed = checkRecording(await ingest.closedSession(session.session));
    expect(JSON.stringify(parsed.lines)).not.toMatch(/"fact":"(?:clipboard|paste)"/);
  });

  test('records the labels of the node, unless they are too long for a line', async () => {
    const running = await start();
    const labelled = async (labels: Readonly<Record<string, string>>): Promise<unknown> => {
      const session = await running.open(facts({ labels }), term);
      await session.close();
      return checkRecording(await ingest.closedSession(session.session)).header.steno.labels;
    };
    expect(await labelled({ env: 'dev', 'team/zone': 'ä' })).toEqual({ env: 'dev', 'team/zone': 'ä' });
    expect(await labelled({})).toEqual({});
    expect(await labelled({ long: 'ä'.repeat(5_000) })).toBeUndefined();
  });

  test('keeps characters whole when fed byte by byte', async () => {
    const text = 'é漢🙂\u001b[0m"\\ plain';
    const session = await (await start()).open(facts(), term);
    for (const byte of Buffer.from(text)) session.output('out', Buffer.from([byte]));
    await session.close();
    const parsed = checkRecording(await ingest.closedSession(session.session));
    expect(textOf(parsed, 'o')).toBe(text);
    expect(parsed.lines.some(({ code }) => code === 'b')).toBe(false);
  });

  test('keeps bytes that are not UTF-8 exactly, beside their readable form', async () => {
    const session = await (await start()).open(facts(), term);
    session.output('out', Buffer.from([0x61, 0xff, 0xfe, 0x62]));
    session.output('out', Buffer.from([0xe2, 0x82]));
    await session.close();
    const { lines } = checkRecording(await ingest.closedSession(session.session));
    expect(lines.map(({ code, data }) => [code, data])).toEqual([
      ['o', 'a\ufffd\ufffdb'],
      ['b', { stream: 'out', replaces: true, base64: Buffer.from([0x61, 0xff, 0xfe, 0x62]).toString('base64') }],
      ['o', '\ufffd'],
      ['b', { stream: 'out', replaces: true, base64: Buffer.from([0xe2, 0x82]).toString('base64') }],
      ['s', { fact: 'total', stream: 'out', bytes: 6, sha256: expect.any(String) }],
    ]);
  });

  test('records typed input only after its echo', async () => {
    const session = await (await start()).open(facts(), term);
    session.output('out', Buffer.from('$ '));
    session.input(Buffer.from('su'));
    session.output('out', Buffer.from('su'));
    session.input(Buffer.from('\r'));
    session.output('out', Buffer.from('\r\nPassword: '));
    for (const key of 'hunter2') session.input(Buffer.from(key));
    session.input(Buffer.from('\r'));
    session.output('out', Buffer.from('\r\n# '));
    await session.close();
    const parsed = checkRecording(await ingest.closedSession(session.session));
    expect(textOf(parsed, 'i')).toBe('su\r\r');
    expect(parsed.lines.filter(({ code }) => code === 'g')).toHaveLength(1);
  });
});

describe('a session without a terminal', () => {
  const exec = (limit: number, streams: 'limited' | 'commands' | 'full' = 'limited') =>
    facts({ kind: 'exec', tty: false, recording: { mode: 'strict', streams, limit } });

  test('keeps text with sequences and a few zeros as text, and data full of zeros as bytes', async () => {
    const session = await (await start()).open(exec(1000), term, 'cat');
    const text = '\u001b[0m\u001b[1;34mbin\u001b[0m ./first/file\0./second/file\0\n';
    session.output('out', Buffer.from(text));
    session.output('out', Buffer.alloc(30));
    await session.close();
    const parsed = checkRecording(await ingest.closedSession(session.session));
    expect(textOf(parsed, 'o')).toBe(text);
    expect(parsed.lines.find(({ code }) => code === 'b')?.data).toEqual({
      stream: 'out',
      replaces: false,
      base64: Buffer.alloc(30).toString('base64'),
    });
  });

  test('keeps the first bytes of each direction, and the count and hash of all bytes', async () => {
    const session = await (await start()).open(exec(10), term, 'cat');
    session.output('out', Buffer.from('0123456'));
    session.output('err', Buffer.from('oops'));
    session.output('out', Buffer.from('789abcdef'));
    session.input(Buffer.from('in'));
    await session.close();
    const { lines } = checkRecording(await ingest.closedSession(session.session));
    expect(lines.map(({ code, data }) => [code, data])).toEqual([
      ['o', '0123456'],
      ['s', { fact: 'stream', name: 'stderr' }],
      ['o', 'oops'],
      ['s', { fact: 'stream', name: 'stdout' }],
      ['o', '789'],
      ['i', 'in'],
      ['o', 'abcdef'],
      ['s', { fact: 'total', stream: 'out', bytes: 16, sha256: '9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f' }],
      ['s', { fact: 'total', stream: 'err', bytes: 4, sha256: expect.any(String) }],
      ['s', { fact: 'total', stream: 'in', bytes: 2, sha256: expect.any(String) }],
    ]);
  });

  test('keeps binary as raw lines, and all of it if the role says full', async () => {
    const noise = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) % 251));
    const session = await (await start()).open(exec(10, 'full'), term);
    session.output('out', noise);
    session.output('out', Buffer.from([1, 2, 255]), 3);
    session.fact({ fact: 'forward_close', channel: 3 });
    await session.close();
    const { lines } = checkRecording(await ingest.closedSession(session.session));
    const raw = lines.flatMap((line) =>
      line.code === 'b' && line.data.channel === undefined ? [Buffer.from(line.data.base64, 'base64')] : [],
    );
    expect(Buffer.concat(raw).equals(noise)).toBe(true);
    expect(lines.findIndex(({ code, data }) => code === 's' && (data as { channel?: number }).channel === 3)).toBeLessThan(
      lines.findIndex(({ data }) => (data as { fact?: string }).fact === 'forward_close'),
    );
  });
});

test('a session that is still open when the recorder closes is complete', async () => {
  const session = await (await start(false)).open(facts(), term);
  session.output('out', Buffer.from('bye'));
  await recorder!.close();
  expect(existsSync(`${folder.path}/${session.session}.state`)).toBe(true);
  await start();
  const recording = await ingest.closedSession(session.session);
  expect(recording.parts.at(-1)!.checkpoint.end).toBe('complete');
  expect(textOf(checkRecording(recording), 'o')).toBe('bye');
});

test('facts of any length fit into their line', async () => {
  const session = await (await start(false)).open(facts(), term, 'x'.repeat(300_000));
  session.fact({ fact: 'exec', command: '\u0000🙂'.repeat(100_000) });
  await session.close();
  const { lines } = parseLines(spooledLines(folder.path, session.session));
  expect(lines).toHaveLength(1);
});

test('audit rows arrive with every field and an id of their own', async () => {
  (await start()).audit({ event: 'session.start', outcome: 'success', actor: 'alice' });
  await ingest.when(() => ingest.events.size === 1);
  expect([...ingest.events.values()][0]).toMatchObject({ event: 'session.start', actor: 'alice', code: '', data: '{}' });
});

test('audit rows damaged on disk leave an audit row, and a gap in their session if it is still live', async () => {
  const session = await (await start(false)).open(facts(), term);
  recorder!.audit({ event: 'test.kept', outcome: 'success', session: session.session });
  recorder!.audit({ event: 'test.spoiled', outcome: 'success', session: session.session });
  await recorder!.settled();
  const [batch] = readdirSync(`${folder.path}/events`).filter((name) => name.endsWith('.jsonl'));
  const path = `${folder.path}/events/${batch!}`;
  writeFileSync(path, readFileSync(path, 'utf8').replace('"event":"test.spoiled"', '"event:test.spoiled"'));
  // The same queue, now with a connection.
  await recorder!.close();
  recorder = await startRecorder({ spool: folder.path, gateway: 'gw-1' }, trialDeps(ingest));
  await ingest.when(() => [...ingest.events.values()].some((row) => row['event'] === 'audit.quarantined'));
  const rows = [...ingest.events.values()];
  expect(rows.some((row) => row['event'] === 'test.kept')).toBe(true);
  expect(rows.find((row) => row['event'] === 'audit.quarantined')).toMatchObject({
    session: session.session,
    code: 'UPLINK_MALFORMED',
    data: JSON.stringify({ file: `${batch!.slice(0, 26)}.refused`, rows: 1 }),
  });
});

test('audit rows that ingest refuses are a gap in their session, signed with the rest', async () => {
  ingest.hooks.refuseEvents = (_id, rows) => (rows.some(({ event }) => event === 'test.refused') ? 'UPLINK_MALFORMED' : null);
  const session = await (await start()).open(facts(), term);
  recorder!.audit({ event: 'test.refused', outcome: 'success', session: session.session });
  await ingest.when(() => [...ingest.events.values()].some((row) => row['event'] === 'audit.quarantined'));
  await session.close();
  const parsed = checkRecording(await ingest.closedSession(session.session));
  expect(parsed.lines).toMatchObject([{ code: 'g', data: { reason: 'audit_events', count: 1, detail: 'UPLINK_MALFORMED' } }]);
});
