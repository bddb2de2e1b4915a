/** Two transports and one wire between them, which delivers pieces in memory that it reuses at once. */
import { createHash, randomBytes } from 'node:crypto';
import ssh2 from 'ssh2';
import type { ParsedKey } from 'ssh2';
import { beforeAll, describe, expect, it } from 'vitest';
import { generateKey } from '#runtime/ssh/keys.js';
import { Outbox } from '../../edge/outbox.js';
import { cryptoReady, HOLD, Transport } from './transport.js';
import type { TransportEvents } from './transport.js';
import type { Wire, WireEvents } from '../../edge/socket-wire.js';

const key = ssh2.utils.parseKey(generateKey().toOpenSsh()) as ParsedKey;
const hostKeys = { 'ssh-ed25519': key };
const memory = Buffer.alloc(200_000);

class PieceWire implements Wire {
  readonly #out = new Outbox();
  /** Bytes delivered at once; ssh2 accepts the identification line in at most two pieces. */
  piece = Infinity;
  #events: WireEvents | undefined;
  #paused = false;
  #waiting: Buffer[] = [];
  peer: PieceWire | undefined;

  get queued(): number {
    return this.#out.length;
  }
  attach(events: WireEvents): void {
    this.#events = events;
  }
  reserve(length: number): Buffer {
    return this.#out.reserve(length);
  }
  send(bytes: Buffer): void {
    this.#out.put(bytes);
    setImmediate(() => {
      while (this.#out.length > 0) {
        const piece = Buffer.alloc(Math.min(this.piece, this.#out.length));
        this.#out.take(piece, 0, piece.length);
        this.peer!.#waiting.push(piece);
      }
      this.peer!.#read();
    });
  }
  pause(): void {
    this.#paused = true;
  }
  resume(): void {
    this.#paused = false;
    setImmediate(() => this.#read());
  }
  end(): void {
    this.destroy();
  }
  destroy(): void {
    setImmediate(() => this.#events?.closed());
  }
  #read(): void {
    for (let piece = this.#waiting[0]; piece !== undefined && !this.#paused; piece = this.#waiting[0]) {
      this.#waiting.shift();
      memory.set(piece);
      this.#events!.bytes(memory.subarray(0, piece.length));
      memory.fill(0xee);
    }
  }
}

const quiet: TransportEvents = { secured: () => undefined, message: () => undefined, drained: () => undefined, closed: () => undefined };

async function connected(piece: number): Promise<{ readonly server: Transport; readonly client: Transport }> {
  const [left, right] = [new PieceWire(), new PieceWire()];
  [left.peer, right.peer] = [right, left];
  const server = new Transport(left, { kind: 'server', hostKeys: { ready: hostKeys, with: () => null } }, quiet);
  const client = await new Promise<Transport>((resolve) => {
    const made: Transport = new Transport(
      right,
      { kind: 'client', hostVerifier: (_key, decide) => decide(true) },
      { ...quiet, secured: () => resolve(made) },
    );
  });
  left.piece = right.piece = piece;
  return { server, client };
}

beforeAll(() => cryptoReady);

describe.each([1, 7, 16, 4096, 100_000])('messages that come in pieces of %i bytes', (piece) => {
  it.each([
    ['not held', false],
    ['held from time to time', true],
  ] as const)('arrive complete, %s', async (_how, holding) => {
    const { server, client } = await connected(piece);
    const sent = Array.from({ length: 60 }, (_, i) =>
      Buffer.concat([Buffer.of(94), randomBytes((i * 577) % (piece < 100 ? 300 : 32_000))]),
    );
    const got: string[] = [];
    await new Promise<void>((resolve) => {
      server.events = {
        ...quiet,
        message: (payload) => {
          got.push(createHash('sha256').update(payload).digest('hex'));
          if (got.length === sent.length) return resolve();
          if (!holding || got.length % 5 !== 0) return undefined;
          server.hold(HOLD.recorder);
          setImmediate(() => server.release(HOLD.recorder));
          return undefined;
        },
      };
      for (const payload of sent) client.send(payload);
    });
    expect(got).toEqual(sent.map((payload) => createHash('sha256').update(payload).digest('hex')));
    server.destroy();
    client.destroy();
  });
});

describe('a key exchange that the other side begins while messages are held', () => {
  it('finishes, although no other message is delivered until the release', async () => {
    const { server, client } = await connected(Infinity);
    const got: number[] = [];
    // The client can send again once keys are exchanged.
    const exchanged = new Promise<void>((resolve) => {
      client.events = { ...quiet, drained: resolve };
    });
    // Held from the first read of the exchange on, as when a node accepts nothing more until the client has been sent data.
    server.events = { ...quiet, message: (payload) => got.push(payload[1]!), read: () => server.hold(HOLD.window) };
    client.rekey();
    await exchanged;
    for (let i = 0; i < 3; i++) client.send(Buffer.from([94, i]));
    // Enough turns for the three messages to arrive.
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(got).toEqual([]);
    const all = new Promise<void>((resolve) => {
      server.events = {
        ...quiet,
        message: (payload) => {
          got.push(payload[1]!);
          if (got.length === 3) resolve();
        },
      };
    });
    server.release(HOLD.window);
    await all;
    expect(got).toEqual([0, 1, 2]);
  });
});
