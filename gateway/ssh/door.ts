/**
 * The front door: takes connections, bounds those of strangers, and keeps the list of guests.
 *
 * Limits: 200 strangers at once, 20 of one address; more are closed before a byte is read. A stranger costs its socket and
 * one key exchange, and is gone after 20 s (guest.ts). Tested in door.test.ts.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Lock, Snapshot } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import type { Log } from '#runtime/log.js';
import { Guest } from './guest.js';
import type { GuestDeps } from './guest.js';
import type { HostKeys } from './host-keys.js';
import { printable } from './refusal.js';
import { knock } from './knock.js';
import { SocketWire } from './wire.js';
import type { Wire } from './wire.js';

export interface DoorLimits {
  readonly strangers: number;
  readonly strangersPerAddress: number;
  /** Milliseconds a stranger has to be admitted. */
  readonly admissionMs: number;
}
export const defaultLimits: DoorLimits = { strangers: 200, strangersPerAddress: 20, admissionMs: 20_000 };

export interface DoorDeps extends Omit<GuestDeps, 'enter' | 'admissionMs'> {
  readonly hostKeys: HostKeys;
  /** The gateway's own name, of its host certificate. */
  readonly name: string;
  readonly limits: DoorLimits;
  readonly log: Log;
}

export class Door {
  readonly #deps: DoorDeps;
  readonly #server: Server;
  readonly #guests = new Set<Guest>();
  readonly #strangers = new Map<string, number>();
  #strangerCount = 0;
  #whenEmpty: (() => void) | undefined;

  constructor(deps: DoorDeps) {
    this.#deps = deps;
    this.#server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => void this.#accept(socket));
  }

  /** Rejects PORT_TAKEN. */
  async listen(host: string, port: number): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'EADDRINUSE' ? new StenoError('PORT_TAKEN', `${host}:${port}`) : error),
      );
      this.#server.listen(port, host, resolve);
    });
    this.#server.on('error', (error) => this.#deps.log.error({ err: error }, 'listener failed'));
    const address = this.#server.address() as AddressInfo;
    return `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
  }

  /**
   * Asks again of everybody. Those who must go are told before anything is written of it: then each leaves a row, and each
   * lock one with how many. A crash between leaves their recordings, which end there.
   */
  recheck(snapshot: Snapshot): void {
    const counts = new Map<string, { readonly lock: Lock; connections: number; sessions: number }>();
    for (const { error, connections, sessions, audit } of [...this.#guests].flatMap((guest) => guest.recheck(snapshot))) {
      audit();
      const lock = snapshot.locks.find((known) => known === error.cause);
      if (lock === undefined) continue;
      const count = counts.get(lock.id) ?? { lock, connections: 0, sessions: 0 };
      counts.set(lock.id, { lock, connections: count.connections + connections, sessions: count.sessions + sessions });
    }
    for (const { lock, ...ended } of counts.values()) {
      this.#deps.recorder.audit({
        event: 'lock.enforced',
        outcome: 'success',
        actor: `gateway/${this.#deps.name}`,
        target: lock.id,
        reason: printable(lock.reason, 1024),
        data: JSON.stringify({ target_kind: lock.target_kind, target: lock.target, ...ended }),
      });
    }
  }

  /** Takes nobody any more and sees everybody out. */
  async close(error: StenoError): Promise<void> {
    this.#server.close();
    for (const guest of this.#guests) guest.end(error);
    if (this.#guests.size > 0)
      await new Promise<void>((resolve) => {
        this.#whenEmpty = resolve;
      });
  }

  async #accept(socket: Socket): Promise<void> {
    const source = plainAddress(socket.remoteAddress ?? '');
    const ofAddress = this.#strangers.get(source) ?? 0;
    const { strangers, strangersPerAddress } = this.#deps.limits;
    if (source === '' || this.#strangerCount >= strangers || ofAddress >= strangersPerAddress) {
      socket.destroy();
      return;
    }
    this.#strangerCount++;
    this.#strangers.set(source, ofAddress + 1);
    let counted = true;
    const known = (): void => {
      if (!counted) return;
      counted = false;
      this.#strangerCount--;
      const left = (this.#strangers.get(source) ?? 1) - 1;
      if (left === 0) this.#strangers.delete(source);
      else this.#strangers.set(source, left);
    };
    socket.on('error', () => socket.destroy());
    try {
      const hostKeys = await this.#deps.hostKeys.of(this.#deps.name);
      if (socket.destroyed) return known();
      const wire = new SocketWire(socket);
      knock(wire, this.#deps.limits.admissionMs, {
        // Unknown nodes too: only who is admitted learns which there are.
        opened: (node) => this.#welcome(wire, node === null ? { kind: 'gateway' } : { kind: 'node', node }, source, hostKeys, known),
        gone: known,
      });
    } catch (error) {
      this.#deps.log.error({ err: error }, 'no host certificate');
      known();
      socket.destroy();
    }
  }

  #enter(wire: Wire, node: string, source: string): void {
    this.#deps.hostKeys.of(node).then(
      (hostKeys) => this.#welcome(wire, { kind: 'node', node }, source, hostKeys, () => undefined),
      (error: unknown) => {
        this.#deps.log.error({ err: error, node }, 'no host certificate');
        wire.destroy();
      },
    );
  }

  #welcome(
    wire: Wire,
    entry: ConstructorParameters<typeof Guest>[1],
    source: string,
    hostKeys: ConstructorParameters<typeof Guest>[3],
    known: () => void,
  ): void {
    const guest: Guest = new Guest(
      wire,
      entry,
      source,
      hostKeys,
      { ...this.#deps, admissionMs: this.#deps.limits.admissionMs, enter: (inner, node, from) => this.#enter(inner, node, from) },
      {
        admitted: known,
        gone: () => {
          known();
          this.#guests.delete(guest);
          if (this.#guests.size === 0) this.#whenEmpty?.();
        },
      },
    );
    this.#guests.add(guest);
  }
}

/** A dual-stack socket reports IPv4 peers as IPv6. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
}
