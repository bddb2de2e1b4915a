/** A browser's connection over streams that are cut. The test sets the time. */
import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { encodeFrame, FrameReader } from '#schemas/terminal/frames.js';
import type { TerminalFrame } from '#schemas/terminal/frames.js';
import { ResumableWire, SAY_MS } from './resumable-wire.js';
import type { KeepTerms, WireTimers } from './keep-terms.js';
import { HIGH_WATER } from './socket-wire.js';

class Time implements WireTimers {
  #now = 0;
  #waiting: { readonly at: number; readonly callback: () => void }[] = [];
  now(): number {
    return this.#now;
  }
  after(ms: number, callback: () => void): () => void {
    const one = { at: this.#now + ms, callback };
    this.#waiting.push(one);
    return () => void (this.#waiting = this.#waiting.filter((other) => other !== one));
  }
  pass(ms: number): void {
    this.#now += ms;
    const due = this.#waiting.filter(({ at }) => at <= this.#now);
    this.#waiting = this.#waiting.filter(({ at }) => at > this.#now);
    for (const { callback } of due) callback();
  }
}

/** The browser's end of one connection. */
class Far {
  readonly socket: Duplex;
  readonly frames: TerminalFrame[] = [];
  readonly text: string[] = [];
  closed = false;
  constructor(socket: Duplex) {
    this.socket = socket;
    const reader = new FrameReader();
    socket.on('data', (chunk: Buffer) => {
      reader.put(chunk);
      for (let frame = reader.next(); frame !== null; frame = reader.next()) {
        this.frames.push(frame);
        if (frame.kind === 'data') this.text.push(Buffer.from(frame.bytes).toString());
      }
    });
    socket.on('end', () => (this.closed = true));
  }
  say(frame: TerminalFrame): void {
    this.socket.write(encodeFrame(frame));
  }
  data(offset: number, text: string, received = 0): void {
    this.say({ kind: 'data', offset, received, bytes: Buffer.from(text) });
  }
}

const opened: Duplex[] = [];
function pair(): readonly [Duplex, Far] {
  const [near, far] = duplexPair();
  opened.push(near, far);
  return [near, new Far(far)];
}
afterEach(() => {
  for (const one of opened.splice(0)) one.destroy();
});

function world(seconds = 60) {
  const time = new Time();
  const told: string[] = [];
  const state = { got: '', closed: 0, drained: 0, ms: seconds * 1000, known: true };
  const [near, far] = pair();
  const wire = new ResumableWire(near, Buffer.alloc(0), {
    timers: time,
    keep: () => ({ id: 'id', secret: Buffer.alloc(32) }),
    closed: () => (state.known = false),
  });
  wire.attach({
    bytes: (bytes) => (state.got += bytes.toString()),
    drained: () => (state.drained += 1),
    closed: () => (state.closed += 1),
  });
  const terms: KeepTerms = {
    ms: () => state.ms,
    assertFrom: () => undefined,
    lost: () => told.push('lost'),
    resumed: (ms, source) => told.push(`resumed ${ms} ${source}`),
    refused: () => undefined,
  };
  const back = (received: number): Far => {
    const [socket, end] = pair();
    wire.reattach(socket, new FrameReader(), received, '192.0.2.1');
    return end;
  };
  return { time, told, state, near, far, wire, terms, back };
}

describe("a browser's connection", () => {
  test('is a stream of bytes', async () => {
    const { far, wire, state } = world();
    far.data(0, 'ab');
    far.data(2, 'cd');
    await expect.poll(() => state.got).toBe('abcd');
    wire.send(Buffer.from('one'));
    wire.send(Buffer.from('two'));
    await expect.poll(() => far.text).toEqual(['one', 'two']);
    expect(far.frames[0]).toMatchObject({ offset: 0, received: 4 });
  });

  test('ends with its network if nothing keeps it', async () => {
    const { near, state, told } = world();
    near.destroy();
    await expect.poll(() => state.closed).toBe(1);
    expect(told).toEqual([]);
  });

  test('that is kept continues over another network, from the byte that the page has reached', async () => {
    const { time, wire, terms, state, near, far, back, told } = world();
    wire.keep(terms);
    far.data(0, 'ab');
    wire.send(Buffer.from('0123456789'));
    await expect.poll(() => far.text.join('')).toBe('0123456789');
    near.destroy();
    await expect.poll(() => told).toEqual(['lost']);
    wire.send(Buffer.from('while away'));
    time.pass(1_500);
    const again = back(4);
    await expect.poll(() => again.text.join('')).toBe('456789while away');
    expect(again.frames[0]).toEqual({ kind: 'resumed', received: 2 });
    again.data(2, 'cd', 4);
    await expect.poll(() => state.got).toBe('abcd');
    expect(told).toEqual(['lost', 'resumed 1500 192.0.2.1']);
    expect(state.closed).toBe(0);
  });

  test('waits exactly as long as its terms say', async () => {
    const { time, wire, terms, state, near, told } = world(60);
    wire.keep(terms);
    near.destroy();
    await expect.poll(() => told).toEqual(['lost']);
    time.pass(59_999);
    expect(state).toMatchObject({ closed: 0, known: true });
    time.pass(1);
    await expect.poll(() => state.closed).toBe(1);
    expect(state.known).toBe(false);
    expect(wire.holds(0)).toBe(false);
  });

  test('stops waiting when roles shorten the wait while it is away', async () => {
    const { time, wire, terms, state, near, told } = world(60);
    wire.keep(terms);
    near.destroy();
    await expect.poll(() => told).toEqual(['lost']);
    time.pass(10_000);
    state.ms = 20_000;
    wire.recheck();
    time.pass(9_999);
    expect(state.closed).toBe(0);
    state.ms = 0;
    wire.recheck();
    await expect.poll(() => state.closed).toBe(1);
  });

  test('continues over a newer connection before the older one is known to be lost', async () => {
    const { wire, terms, far, back, told, state } = world();
    wire.keep(terms);
    wire.send(Buffer.from('abc'));
    await expect.poll(() => far.text).toEqual(['abc']);
    const again = back(3);
    wire.send(Buffer.from('def'));
    await expect.poll(() => again.text).toEqual(['def']);
    // Data that still arrives on the older connection is ignored.
    far.data(0, 'late');
    again.data(0, 'new', 3);
    await expect.poll(() => state.got).toBe('new');
    expect(told).toEqual(['resumed 0 192.0.2.1']);
    expect(far.text).toEqual(['abc']);
  });

  test('asks for no more data while too much waits, and for more once the page has fetched it', async () => {
    const { wire, terms, near, told, state, back } = world();
    wire.keep(terms);
    near.destroy();
    await expect.poll(() => told).toEqual(['lost']);
    const piece = Buffer.alloc(64 << 10, 'x');
    let sent = 0;
    while (wire.queued <= HIGH_WATER) {
      wire.send(piece);
      sent += piece.length;
    }
    expect(sent).toBeLessThanOrEqual((1 << 20) + HIGH_WATER + piece.length);
    expect(state.drained).toBe(0);
    const again = back(0);
    await expect.poll(() => again.text.join('').length).toBe(sent);
    again.say({ kind: 'received', received: sent });
    await expect.poll(() => state.drained).toBe(1);
  });

  test('of a page that fetches nothing ends before it fills the memory', async () => {
    const { wire, terms, near, told, state } = world();
    wire.keep(terms);
    near.destroy();
    await expect.poll(() => told).toEqual(['lost']);
    for (let i = 0; i < 17; i += 1) wire.send(Buffer.alloc(1 << 20));
    await expect.poll(() => state.closed).toBe(1);
  });

  test('that the gateway ended while it was away delivers its last messages to a page that returns', async () => {
    const { wire, terms, near, told, state, back } = world();
    wire.keep(terms);
    near.destroy();
    await expect.poll(() => told).toEqual(['lost']);
    wire.send(Buffer.from('locked'));
    wire.end();
    await expect.poll(() => state.closed).toBe(1);
    const again = back(0);
    await expect.poll(() => again.closed).toBe(true);
    expect(again.frames).toMatchObject([{ kind: 'resumed' }, { kind: 'data' }, { kind: 'end' }]);
    again.socket.end();
    await expect.poll(() => state.known).toBe(false);
    expect(told).toEqual(['lost']);
    expect(state.closed).toBe(1);
  });

  test('that the page ended is over, even if it could have waited longer', async () => {
    const { wire, terms, far, state, told } = world();
    wire.keep(terms);
    far.data(0, 'bye');
    far.say({ kind: 'end' });
    await expect.poll(() => far.closed).toBe(true);
    far.socket.end();
    await expect.poll(() => state).toMatchObject({ closed: 1, known: false, got: 'bye' });
    expect(told).toEqual([]);
  });

  test.each<[string, (far: Far) => void]>([
    ['skips bytes', (far) => far.data(9, 'x')],
    ['acknowledges bytes that were never sent', (far) => far.say({ kind: 'received', received: 1 })],
    ['sends something other than a frame', (far) => void far.socket.write('SSH-2.0-x\r\n')],
    ['sends a proof without a challenge', (far) => far.say({ kind: 'proof', received: 0, mac: Buffer.alloc(32) })],
  ])('of a page that %s is closed, and not kept', async (_, misuse) => {
    const { wire, terms, far, state, told } = world();
    wire.keep(terms);
    misuse(far);
    await expect.poll(() => state.closed).toBe(1);
    expect(told).toEqual([]);
    expect(state).toMatchObject({ got: '', known: false });
  });

  test('sends keepalives when it has nothing else to send', async () => {
    const { time, far } = world();
    time.pass(SAY_MS);
    time.pass(SAY_MS);
    await expect
      .poll(() => far.frames)
      .toEqual([
        { kind: 'received', received: 0 },
        { kind: 'received', received: 0 },
      ]);
  });

  test('reads nothing while it is paused, even on the next network', async () => {
    const { wire, terms, far, back, state } = world();
    wire.keep(terms);
    far.data(0, 'a');
    await expect.poll(() => state.got).toBe('a');
    wire.pause();
    const again = back(0);
    again.data(1, 'b');
    wire.send(Buffer.from('x'));
    await expect.poll(() => again.text).toEqual(['x']);
    expect(state.got).toBe('a');
    wire.resume();
    await expect.poll(() => state.got).toBe('ab');
  });
});
