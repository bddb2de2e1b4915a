/**
 * Messages between the parent, which holds the listening sockets, and a worker, which holds sessions. Both run the same program on one
 * machine and share a private IPC channel, so messages are typed but not checked.
 *
 *     parent ──config──────────────────────────────────► worker: joins, starts
 *            ◄─ready, or failed with a catalogue code───
 *            ──connection, with its socket──────────────► a slot is taken: displaced by the parent, admitted and closed by the worker
 *            ◄─enter: a browser's SSH connection────────  ──turn, or refused──►
 *            ◄─tunnel: a node's agent came or went──────  ──tunnels of the others──►
 *            ──close──► ◄─reached 'drained'─ ──pass──► ◄─reached 'ended'─ ──pass──►  exit 0
 */
import type { TurnedAway } from '#runtime/http/stranger-slots.js';
import type { ErrorCode } from '#schemas/base/errors.js';

export type PortName = 'ssh' | 'kube' | 'tunnel';

/** The information that a worker gets about itself and the other workers. */
export interface WorkerPlace {
  /** From 1. */
  readonly number: number;
  /** Names of all workers: each is a gateway to the rest of the system. */
  readonly names: readonly { readonly number: number; readonly name: string }[];
  /** Folder with the sockets over which workers reach each other. */
  readonly folder: string;
  /** `host:port` where the parent listens. */
  readonly addresses: Partial<Readonly<Record<PortName, string>>>;
  /** Takes no connections, and exits once its spool is empty. */
  readonly retiring: boolean;
}

/** Phases of closing. No worker goes on before all have reached a phase: sessions of one may go through tunnels of another. */
export type Phase = 'drained' | 'ended';

export type ToWorker =
  | { readonly kind: 'config'; readonly config: unknown; readonly place: WorkerPlace }
  /** Comes with the connection's socket. `head`: bytes already read from the socket, base64. */
  | { readonly kind: 'connection'; readonly port: PortName; readonly id: number; readonly head: string }
  | { readonly kind: 'displace'; readonly id: number }
  | { readonly kind: 'turn'; readonly id: number }
  | { readonly kind: 'refused'; readonly id: number; readonly reason: string }
  | { readonly kind: 'turned_away'; readonly port: PortName; readonly counts: TurnedAway & { readonly sources: number } }
  | { readonly kind: 'tunnels'; readonly worker: number; readonly up: readonly string[]; readonly down: readonly string[] }
  | { readonly kind: 'gone'; readonly worker: number }
  | { readonly kind: 'close' }
  | { readonly kind: 'hurry' }
  | { readonly kind: 'pass'; readonly phase: Phase };

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string }
  /** The worker cannot continue. */
  | { readonly kind: 'over'; readonly code: ErrorCode; readonly detail: string }
  /** Ids given by the parent are positive; ids of connections that ask for a turn are negative. */
  | { readonly kind: 'enter'; readonly id: number; readonly source: string }
  | { readonly kind: 'admitted'; readonly id: number }
  | { readonly kind: 'closed'; readonly id: number }
  | { readonly kind: 'tunnel'; readonly node: string; readonly held: boolean }
  | { readonly kind: 'reached'; readonly phase: Phase };
