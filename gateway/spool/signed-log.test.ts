/** For any sequence of writes, readers cut the same blocks, and so does a sender that has fallen behind. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BLOCK_MAX_BYTES, BLOCK_MAX_MS } from '#schemas/recording/block.js';
import { MAX_LINE_BYTES } from '#schemas/recording/line.js';
import { diskFiles } from './files.js';
import { Sender } from './sender.js';
import { SessionFiles } from './session-files.js';
import { Spool } from './spool.js';
import { CHECKPOINT_BYTES, CHECKPOINT_MS, SignedLog } from './signed-log.js';
import { checkRecording, facts, textOf, trialFolder, trialSign } from '../testing/recorder.js';
import type { MemoryRecording } from '#runtime/uplink/memory-ingest.js';

const session = '01kanar9g0dtjvf0yq516zc20n';
let folder: ReturnType<typeof trialFolder>;
let spool: Spool;
let log: SignedLog;

beforeEach(() => {
  folder = trialFolder();
  spool = new Spool({ folder: folder.path, files: diskFiles, budget: 1 << 30, onQuarantine: () => undefined });
  log = new SignedLog(new SessionFiles(spool, session), 'gw-1', 1, { sign: trialSign, wallClock: () => 1 });
  log.begin({
    version: 3,
    term: { cols: 80, rows: 24 },
    timestamp: 1,
    steno: { format: 1, session, gateway: 'gw-1', counter: 1, started_at: 1, ...facts() },
  });
});
afterEach(async () => {
  await spool.close();
  log.files.close();
  folder.remove();
});

/** All frames of the log as a sender gives them, from the block after `stored`. */
async function sent(
  stored = 0,
  sender = new Sender(log, { finished: () => undefined, refused: () => undefined, stored: () => undefined }),
): Promise<MemoryRecording> {
  await log.files.flush();
  if (!sender.seek(stored)) throw new Error('not found');
  const blocks: { n: number; head: string; content: Buffer }[] = [];
  const parts: MemoryRecording['parts'][number][] = [];
  for (let frame = sender.next(); frame !== null; frame = sender.next()) {
    if (frame.kind === 'block') blocks.push({ n: frame.n, head: frame.head, content: Buffer.from(frame.content) });
    else parts.push({ part: frame.part, checkpoint: frame.checkpoint });
  }
  return { blocks, parts, stored: 0, closed: true };
}

test('readers cut random text and lines at random times into the same blocks, from the start and from any checkpoint', async () => {
  let now = 0;
  let text = '';
  for (let i = 0; i < 400; i++) {
    const [kind, size, pause] = randomBytes(3) as unknown as [number, number, number];
    now += pause < 40 ? pause * 40 : pause % 8;
    log.tick(now);
    if (kind < 200) {
      const piece = (kind % 3 === 0 ? 'ab\r\n\x1b[1m' : kind % 3 === 1 ? 'é漢🙂' : 'plain').repeat(size < 30 ? size * 100 : size % 20);
      if (piece === '') continue;
      log.text('o', Buffer.from(piece), now);
      text += piece;
    } else log.line({ code: 'r', data: '80x24' }, now);
  }
  log.end('complete', now);
  const whole = await sent();
  expect(textOf(checkRecording(whole), 'o')).toBe(text);
  for (const { checkpoint } of whole.parts) {
    const rest = await sent(checkpoint.block);
    expect(rest.blocks).toEqual(whole.blocks.filter(({ n }) => n > checkpoint.block));
    // An open checkpoint and the last one may end at the same block, and an ingest that stored that block may lack the last one.
    const known = whole.parts.findIndex((part) => part.checkpoint.block === checkpoint.block);
    expect(rest.parts).toEqual(whole.parts.slice(known + 1));
  }
  for (const { content } of whole.blocks) {
    expect(content.length).toBeLessThanOrEqual(BLOCK_MAX_BYTES);
    for (const line of content.toString().split('\n')) expect(Buffer.byteLength(line) + 1).toBeLessThanOrEqual(MAX_LINE_BYTES);
  }
});

test('a key and its echo in one write leave the same log as two writes', async () => {
  const header = {
    version: 3 as const,
    term: { cols: 80, rows: 24 },
    timestamp: 1,
    steno: { format: 1 as const, session, gateway: 'gw-1', counter: 1, started_at: 1, ...facts() },
  };
  for (let run = 0; run < 60; run++) {
    const logs = (['one', 'two'] as const).map((name) => {
      const own = trialFolder();
      const files = new SessionFiles(
        new Spool({ folder: own.path, files: diskFiles, budget: 1 << 30, onQuarantine: () => undefined }),
        session,
      );
      const made = new SignedLog(files, 'gw-1', 1, { sign: trialSign, wallClock: () => 1 });
      made.begin(header);
      return { name, own, log: made };
    });
    let now = 0;
    const texts = ['k', '"', '\x1b[1m', 'é', '漢🙂', '\\', 'ab\r\n'.repeat(40), 'x'.repeat(300), ''];
    for (let i = 0; i < 80; i++) {
      const [kind, first, second, pause] = randomBytes(4) as unknown as [number, number, number, number];
      now += pause < 30 ? pause * 60 : pause < 128 ? pause % 12 : 0;
      const typed = Buffer.from(texts[first % (texts.length - 1)]!);
      const shown = Buffer.from(kind % 16 === 0 ? 'o'.repeat(second * 128) : texts[second % texts.length]!);
      for (const { name, log: each } of logs) {
        each.tick(now);
        if (kind > 240) each.line({ code: 'r', data: '80x24' }, now);
        else if (kind > 200) each.text(kind % 2 === 0 ? 'i' : 'o', typed, now);
        else if (name === 'one') each.echo(typed, shown, now);
        else {
          each.text('i', typed, now);
          each.text('o', shown, now);
        }
      }
    }
    const [one, two] = logs.map(({ log: each, own }) => {
      each.end('complete', now);
      const bytes = Buffer.alloc(each.files.size);
      each.files.read(0, bytes, bytes.length);
      const { n, head, part, last } = each;
      each.files.close();
      own.remove();
      return { text: bytes.toString(), n, head, part, last };
    });
    expect(one).toEqual(two);
  }
});

test('if the last checkpoint ends at the same block as the previous one, only the last is still sent', async () => {
  log.text('o', Buffer.alloc(CHECKPOINT_BYTES - 4096, 'x'), 1);
  log.tick(BLOCK_MAX_MS + 1);
  log.settle(BLOCK_MAX_MS + 2);
  log.end('complete', BLOCK_MAX_MS + 3);
  const { parts } = await sent();
  const [open, last] = parts.slice(-2);
  expect(open!.checkpoint).toMatchObject({ block: last!.checkpoint.block, end: 'open' });
  expect(last!.checkpoint.end).toBe('complete');
  expect(await sent(last!.checkpoint.block)).toMatchObject({ blocks: [], parts: [last] });
});

test('a block is closed a second after its first line even if nothing follows, and the next line begins another', async () => {
  log.text('o', Buffer.from('a'), 10);
  expect(log.n).toBe(0);
  log.tick(BLOCK_MAX_MS - 1);
  expect(log.n).toBe(0);
  log.tick(log.dueAt);
  expect(log.n).toBe(1);
  // A clock that lags must not put a line into a closed block.
  log.text('o', Buffer.from('b'), 500);
  log.end('complete', 500);
  const recording = await sent();
  expect(recording.blocks).toHaveLength(2);
  checkRecording(recording);
});

test('checkpoints are signed after 256 KiB, after a minute, and at the end', async () => {
  for (let i = 0; i < 40; i++) log.text('o', Buffer.alloc(16 << 10, 'x'), i);
  expect(log.part).toBe(Math.floor(((40 * 16) << 10) / CHECKPOINT_BYTES));
  log.tick(2_000);
  const { part } = log;
  log.tick(CHECKPOINT_MS + 2_000);
  expect(log.part).toBe(part + 1);
  expect(log.dueAt).toBe(Infinity);
  log.tick(10 * CHECKPOINT_MS);
  expect(log.part).toBe(part + 1);
  log.end('complete', 10 * CHECKPOINT_MS);
  log.end('complete', 10 * CHECKPOINT_MS);
  const { parts } = await sent();
  expect(parts.map(({ checkpoint }) => checkpoint.end)).toEqual([...parts.slice(1).map(() => 'open'), 'complete']);
});

test('no block is sent past a checkpoint that is not synced', () => {
  const sender = new Sender(log, { finished: () => undefined, refused: () => undefined, stored: () => undefined });
  for (let i = 0; i < 40; i++) log.text('o', Buffer.alloc(16 << 10, 'x'), i);
  const frames = [];
  for (let frame = sender.next(); frame !== null; frame = sender.next()) frames.push(frame);
  expect(frames.every(({ kind }) => kind === 'block')).toBe(true);
  expect(frames.length).toBeLessThan(log.n);
});

test('the drafts of a block, joined, are the beginning of the log from that block on', async () => {
  const sender = new Sender(log, { finished: () => undefined, refused: () => undefined, stored: () => undefined });
  const drafts = new Map<number, Buffer>();
  let reached = { n: 0, to: 0 };
  let now = 0;
  for (let i = 0; i < 2_000; i++) {
    const [kind, size, pause] = randomBytes(3) as unknown as [number, number, number];
    now += pause < 60 ? pause * 12 : 0;
    log.tick(now);
    if (kind < 30) log.line({ code: 'r', data: '80x24' }, now);
    else if (kind < 60) log.echo(Buffer.from('k'), Buffer.from('é🙂"'), now);
    else log.text('o', Buffer.from('plain \x1b[1m漢'.repeat(1 + (size < 8 ? size * 400 : size % 5))), now);
    if (kind % 3 === 0) while (sender.next() !== null);
    const draft = sender.draft(reached.n, reached.to);
    if (draft === null) continue;
    const before = draft.from === 0 ? Buffer.alloc(0) : drafts.get(draft.n)!;
    expect(before.length).toBe(draft.from);
    const whole = Buffer.concat([before, draft.bytes]);
    drafts.set(draft.n, whole);
    reached = { n: draft.n, to: whole.length };
    // Neither a character nor an escape is cut: with the line's ending added, the last line can be parsed.
    const last = whole.toString('utf8').split('\n').at(-1)!;
    if (last !== '') expect(() => void JSON.parse(`${last}"]`)).not.toThrow();
  }
  log.end('complete', now);
  expect(drafts.size).toBeGreaterThan(10);
  const { blocks } = await sent();
  for (const [n, draft] of drafts)
    expect(
      Buffer.concat(blocks.slice(n - 1, n + 2).map(({ content }) => content))
        .subarray(0, draft.length)
        .equals(draft),
    ).toBe(true);
});

test('keystrokes within 10 ms are one line, and later ones are separate lines', async () => {
  for (const at of [0, 4, 9, 10, 30]) log.text('o', Buffer.from('k'), at);
  log.text('i', Buffer.from('k'), 31);
  log.end('complete', 40);
  const { lines } = checkRecording(await sent());
  expect(lines.map(({ interval, code, data }) => [interval, code, data])).toEqual([
    [0, 'o', 'kkk'],
    [10, 'o', 'k'],
    [20, 'o', 'k'],
    [1, 'i', 'k'],
  ]);
});
