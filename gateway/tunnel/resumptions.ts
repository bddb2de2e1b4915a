/**
 * Finds the connection that a browser wants to resume, and makes the browser prove that it opened that connection.
 *
 *     upgrade /v1/ssh, X-Steno-Resume: ID ──known──► challenge ──proof within PROOF_MS──► the wire goes on
 *         └──unknown, over──► RECONNECT_REFUSED        └──wrong, late, from elsewhere──► refused, and audited
 *
 * The secret was sent to the page inside SSH, so neither a viewer nor the network knows it; each challenge is new, so a proof is valid
 * once. An id names its gateway (`RANDOM@NAME`): viewers ask every gateway, and the other gateways refuse without an audit row. Limits: per
 * wire, `MAX_PROVING` connections without a proof yet. Tested in test/end-to-end/terminal-resume.test.ts.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import { CHALLENGE_BYTES, encodeFrame, FrameReader, proofInput, SECRET_BYTES } from '#schemas/terminal/frames.js';
import type { TerminalFrame } from '#schemas/terminal/frames.js';
import { gatewayOfResumption } from '#schemas/terminal/resumption.js';
import type { KeepTerms, Ticket, WireTimers } from '../edge/keep-terms.js';
import type { ResumableWire } from '../edge/resumable-wire.js';

const PROOF_MS = 10_000;
const MAX_PROVING = 4;

interface Kept {
  readonly wire: ResumableWire;
  readonly terms: KeepTerms;
  readonly ticket: Ticket;
  proving: number;
}

export class Resumptions {
  readonly #gateway: string;
  readonly #timers: WireTimers;
  readonly #byId = new Map<string, Kept>();
  readonly #ids = new Map<ResumableWire, string>();

  constructor(gateway: string, timers: WireTimers) {
    this.#gateway = gateway;
    this.#timers = timers;
  }

  keep(wire: ResumableWire, terms: KeepTerms): Ticket {
    const ticket = { id: `${randomBytes(16).toString('base64url')}@${this.#gateway}`, secret: randomBytes(SECRET_BYTES) };
    this.#byId.set(ticket.id, { wire, terms, ticket, proving: 0 });
    this.#ids.set(wire, ticket.id);
    return ticket;
  }

  closed(wire: ResumableWire): void {
    this.#byId.delete(this.#ids.get(wire) ?? '');
    this.#ids.delete(wire);
  }

  /** Throws RECONNECT_REFUSED, RECONNECT_ELSEWHERE and TOO_MANY. */
  find(id: string): Kept {
    const gateway = gatewayOfResumption(id);
    if (gateway === null) throw new StenoError('BAD_REQUEST', 'that names no terminal');
    if (gateway !== this.#gateway) throw new StenoError('RECONNECT_ELSEWHERE', gateway);
    const kept = this.#byId.get(id);
    if (kept === undefined) throw new StenoError('RECONNECT_REFUSED', 'the terminal is over, or never was');
    if (kept.proving >= MAX_PROVING) throw new StenoError('TOO_MANY', 'connections that resume one terminal');
    return kept;
  }

  /** `stream`: upgraded, with the response already sent. `head`: bytes that followed the request. */
  take(kept: Kept, stream: Duplex, head: Buffer, source: string): void {
    const { wire, terms, ticket } = kept;
    const nonce = randomBytes(CHALLENGE_BYTES);
    const reader = new FrameReader();
    kept.proving += 1;
    const done = (): void => {
      kept.proving -= 1;
      cancel();
      stream.removeListener('data', read);
      stream.removeListener('close', left);
    };
    const refuse = (why: string): void => {
      done();
      terms.refused(source, why);
      stream.end(encodeFrame({ kind: 'refused' }));
      // Further input is ignored; a peer that keeps the connection open is cut off.
      stream.once(
        'close',
        this.#timers.after(PROOF_MS, () => stream.destroy()),
      );
      stream.resume();
    };
    const left = (): void => done();
    const read = (chunk: Buffer): void => {
      let frame: TerminalFrame | null;
      try {
        reader.put(chunk);
        frame = reader.next();
      } catch {
        return refuse('it sends no proof');
      }
      if (frame === null) return;
      if (frame.kind !== 'proof') return refuse('it sends no proof');
      const wanted = createHmac('sha256', ticket.secret)
        .update(proofInput(ticket.id, nonce, frame.received))
        .digest();
      if (!timingSafeEqual(wanted, frame.mac)) return refuse('its proof is wrong');
      try {
        terms.assertFrom(source);
      } catch (error) {
        return refuse(error instanceof StenoError ? error.message : 'it may not come back');
      }
      if (!wire.holds(frame.received)) return refuse('it is at a place where it cannot be');
      done();
      wire.reattach(stream, reader, frame.received, source);
    };
    const cancel = this.#timers.after(PROOF_MS, () => refuse('it sends no proof'));
    stream.on('data', read);
    stream.once('close', left);
    stream.write(encodeFrame({ kind: 'challenge', nonce }));
    if (head.length > 0) stream.unshift(head);
  }
}
