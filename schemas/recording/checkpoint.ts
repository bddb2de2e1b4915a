/**
 * Checkpoints: a gateway's signed statements about the state of a recording.
 *
 * The signed message is a small text (below), signed as SSHSIG (OpenSSH PROTOCOL.sshsig, hash sha512) in namespace
 * `CHECKPOINT_NAMESPACE`, with the gateway's recording key, whose OpenSSH certificate the recording CA issued with the
 * gateway's name as principal. `ssh-keygen -Y verify` checks it. The last checkpoint of a session is its manifest: it
 * says that nothing follows. Tested in checkpoint.test.ts.
 *
 *     steno-checkpoint/1
 *     session 01k9...            the session id
 *     gateway gw-1
 *     counter 42                 the gateway's session counter
 *     block 17                   blocks covered, from 1
 *     bytes 81920                bytes of block content covered
 *     at 61250                   session time of the last line, ms
 *     time 1763800000123         when signed, ms since 1970
 *     head 9f86d0...             h[block], hex
 *     end complete               `open`, or how the session ended: `complete`, `interrupted`
 */
import { isCount, isGatewayName, isSessionId } from './line.js';

export const CHECKPOINT_NAMESPACE = 'steno-checkpoint';

export interface Checkpoint {
  readonly session: string;
  readonly gateway: string;
  readonly counter: number;
  readonly block: number;
  readonly bytes: number;
  readonly at: number;
  readonly time: number;
  /** Hex. */
  readonly head: string;
  readonly end: 'open' | 'complete' | 'interrupted';
}

export interface SignedCheckpoint extends Checkpoint {
  /** SSH signature blob (RFC 8709: string "ssh-ed25519", string signature) in base64. */
  readonly signature: string;
}

/** The fields stored in a proof: session, gateway and counter come from the header. */
export type StoredCheckpoint = Omit<SignedCheckpoint, 'session' | 'gateway' | 'counter'>;

/** The signed checkpoint, completed from the header of the recording. */
export function withHeader(
  { session, gateway, counter }: Pick<Checkpoint, 'session' | 'gateway' | 'counter'>,
  checkpoint: StoredCheckpoint,
): SignedCheckpoint {
  return { session, gateway, counter, ...checkpoint };
}

/** The message that is signed. */
export function checkpointText(c: Checkpoint): string {
  return (
    `steno-checkpoint/1\nsession ${c.session}\ngateway ${c.gateway}\ncounter ${c.counter}\nblock ${c.block}\nbytes ${c.bytes}\n` +
    `at ${c.at}\ntime ${c.time}\nhead ${c.head}\nend ${c.end}\n`
  );
}

export function isSignedCheckpoint(value: unknown): value is SignedCheckpoint {
  if (typeof value !== 'object' || value === null) return false;
  const c = value as Partial<Record<keyof SignedCheckpoint, unknown>>;
  return (
    typeof c.session === 'string' &&
    isSessionId(c.session) &&
    typeof c.gateway === 'string' &&
    isGatewayName(c.gateway) &&
    isCount(c.counter) &&
    isCount(c.block) &&
    isCount(c.bytes) &&
    isCount(c.at) &&
    isCount(c.time) &&
    typeof c.head === 'string' &&
    /^[0-9a-f]{64}$/.test(c.head) &&
    (c.end === 'open' || c.end === 'complete' || c.end === 'interrupted') &&
    typeof c.signature === 'string' &&
    c.signature.length <= 2048
  );
}
