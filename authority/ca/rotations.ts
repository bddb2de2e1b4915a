/**
 * Running rotations: moves CAs from phase to phase, manually or by time, and reports their progress.
 *
 * One step, for each CA:
 *   1. generate the next key, when the rotation begins; crash: a sealed key is lost, a token's key is found again by name
 *   2. commit phase, keys and audit row together;       crash: the next start reads the phase and goes on in it
 *   3. read the CAs again and publish the snapshot;      crash: as after 2
 *   4. services notice the new signing key and renew by themselves (runtime/service/identity.ts). The step that drops a key
 *      waits until no connected service holds a certificate from it. Two authorities on one store move a CA only once,
 *      because the commit names the previous phase. Tested in rotations.test.ts, and under live sessions in
 * test/end-to-end/rotation.test.ts.
 */
import { X509Certificate } from 'node:crypto';
import type { CaPhase, CaReport } from '#schemas/api/services/ca.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { ServiceName } from '#schemas/base/identity.js';
import { parseAuthorizedLine, parsePublicKey } from '#schemas/ssh/public-key.js';
import { fipsMode } from '#runtime/fips.js';
import type { Log } from '#runtime/log.js';
import { fingerprint } from '#runtime/ssh/keys.js';
import { auditRow } from '../records/audit.js';
import type { Caller } from '../records/audit.js';
import type { Records } from '../records/records.js';
import { makeKey } from './ca.js';
import { caNames } from './names.js';
import { fence } from '#stores/leases/sql.js';
import type { Alone, HeldLease } from '#stores/leases/keeper.js';
import type { CaKey, KeyPlaces } from './ca.js';
import type { CaName } from './names.js';
import { caKeys, caRotations, insertCaKeys, lastIssued, putRotation, retireCaKey } from './ca-records.js';
import type { CaRotation } from './ca-records.js';
import { hostKeyId } from './certificates.js';
import { assertTransition, holderOf, newKeySigns, nextAt, nextPhase } from './rotation.js';
import type { Holder } from './rotation.js';

export interface RotationParts {
  readonly records: Records;
  readonly places: KeyPlaces;
  /** Reads the CAs again and publishes them. */
  readonly changed: () => Promise<void>;
  /** Services currently connected to the watch. */
  readonly connected: () => readonly ServiceName[];
  readonly clock: () => number;
  readonly log: Log;
  /** Ensures that of several authorities on one store, one performs due steps. */
  readonly alone: Alone;
}

const MIN_GRACE_MS = 60_000;
const MAX_GRACE_MS = 365 * 86_400_000;
const LONGEST_TIMER_MS = 3_600_000;
const RETRY_MS = 30_000;
const LEASE = 'ca-rotation';
const itself: Caller = { actor: 'authority', source: '' };

export class Rotations {
  readonly #parts: RotationParts;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Serializes steps. */
  #step: Promise<unknown> = Promise.resolve();

  constructor(parts: RotationParts) {
    this.#parts = parts;
  }

  /** Resumes automatic rotations of the last process. */
  async start(): Promise<void> {
    await this.#schedule();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /**
   * Moves to the phase manually; does nothing if already there. Throws CA_PHASE, CA_ROTATION_EARLY, CA_SIGNER_UNAVAILABLE.
   */
  async advance(name: CaName, to: CaPhase, caller: Caller, { force = false }: { readonly force?: boolean } = {}): Promise<CaReport> {
    await this.#inOrder(() => this.#move(name, to, caller, { force, graceMs: null }));
    return this.#reportOf(name);
  }

  /** Runs from the current phase to the end by time. `graceMs`: total duration. */
  async automate(name: CaName, graceMs: number, caller: Caller): Promise<CaReport> {
    if (graceMs < MIN_GRACE_MS || graceMs > MAX_GRACE_MS)
      throw new StenoError('BAD_REQUEST', 'grace_ms: is not between a minute and a year');
    await this.#inOrder(async () => {
      const { phase, rotation } = await this.#where(name);
      if (phase === 'standby') return this.#move(name, 'init', caller, { force: false, graceMs });
      const { records, clock } = this.#parts;
      await records.act([auditRow(clock(), caller, { event: 'ca.rotate', target: name, data: { phase, grace_ms: graceMs } })], (tx) =>
        putRotation(tx, phase, { ...rotation!, graceMs }),
      );
    });
    await this.#schedule();
    return this.#reportOf(name);
  }

  async report(): Promise<readonly CaReport[]> {
    const { records } = this.#parts;
    const [keys, rotations] = [await records.read(caKeys), await records.read(caRotations)];
    return Promise.all(
      caNames.map(async (name): Promise<CaReport> => {
        const rotation = rotations.get(name);
        const phase = rotation?.phase ?? 'standby';
        const graceMs = rotation?.graceMs ?? null;
        return {
          name,
          phase,
          changed_at: rotation?.changedAt ?? null,
          changed_by: rotation?.changedBy ?? '',
          grace_ms: graceMs,
          next_at:
            rotation === undefined || graceMs === null || nextPhase(phase) === undefined ? null : nextAt(rotation.changedAt, graceMs),
          waits_for: await this.#waitsFor(name, rotation),
          keys: keys
            .filter((key) => key.name === name)
            .reverse()
            .map((key) => ({ ...describe(key), signs: signedFor(key, phase) })),
        };
      }),
    );
  }

  async #reportOf(name: CaName): Promise<CaReport> {
    return (await this.report()).find((report) => report.name === name)!;
  }

  #inOrder<T>(step: () => Promise<T>): Promise<T> {
    const next = this.#step.then(step);
    this.#step = next.catch(() => undefined);
    return next;
  }

  async #where(name: CaName): Promise<{ readonly phase: CaPhase; readonly rotation: CaRotation | undefined }> {
    const rotation = (await this.#parts.records.read(caRotations)).get(name);
    return { phase: rotation?.phase ?? 'standby', rotation };
  }

  async #move(
    name: CaName,
    to: CaPhase,
    caller: Caller,
    { force, graceMs, lease }: { readonly force: boolean; readonly graceMs: number | null; readonly lease?: HeldLease },
  ): Promise<void> {
    const { records, places, clock, changed, log } = this.#parts;
    const { phase: from, rotation } = await this.#where(name);
    if (from === to) return;
    assertTransition(name, from, to);
    if (to === 'standby' && !force) {
      const waiting = await this.#waitsFor(name, rotation);
      if (waiting.length > 0) throw new StenoError('CA_ROTATION_EARLY', `${name}: ${waiting.slice(0, 10).join(', ')}`);
    }
    const keys = (await records.read(caKeys)).filter((key) => key.name === name);
    const now = clock();
    const next =
      to === 'init'
        ? await makeKey(
            places,
            name,
            Math.max(...keys.map(({ generation }) => generation)) + 1,
            'next',
            fipsMode() ? 'p256' : 'ed25519',
            now,
          )
        : undefined;
    const gone = to === 'standby' ? keys.find(({ state }) => state === (from === 'rollback' ? 'next' : 'active')) : undefined;
    const moved: CaRotation = {
      name,
      phase: to,
      changedAt: now,
      changedBy: caller.actor,
      graceMs: to === 'standby' ? null : graceMs,
      switchedAt: signersChange(name, from, to) ? now : (rotation?.switchedAt ?? null),
    };
    const generation = next?.generation ?? keys.find(({ state }) => state === 'next')?.generation;
    await records.actOn(async (tx) => {
      if (lease !== undefined) await fence(tx, lease);
      if (!(await putRotation(tx, from, moved))) throw new StenoError('CA_PHASE', `${name} was moved by somebody else in the meantime`);
      if (next !== undefined) await insertCaKeys(tx, [next]);
      if (gone !== undefined) await retireCaKey(tx, name, from === 'rollback' ? 'next' : 'active', now);
      return {
        result: undefined,
        rows: [
          auditRow(now, caller, {
            event: 'ca.rotate',
            target: name,
            data: { from, phase: to, generation, ...(force ? { force } : {}), ...(graceMs === null ? {} : { grace_ms: graceMs }) },
          }),
        ],
      };
    });
    await changed();
    if (gone === undefined) return;
    await Promise.resolve()
      .then(() => places.of(gone.signer).destroy(gone))
      .catch((error: unknown) => log.warn({ err: error, ca: name, generation: gone.generation }, 'a retired key is still in its token'));
  }

  /** Connected services with certificates of this CA issued before the signing key last changed. */
  async #waitsFor(name: CaName, rotation: CaRotation | undefined): Promise<readonly string[]> {
    const switchedAt = rotation?.switchedAt;
    if (rotation === undefined || rotation.phase === 'standby' || switchedAt === null || switchedAt === undefined) return [];
    const keyId = keyIdOf(name);
    if (keyId === undefined) return [];
    const waiting: string[] = [];
    for (const service of this.#parts.connected()) {
      const issued = await this.#parts.records.read((db) => lastIssued(db, service.name, keyId(service)));
      if (issued !== null && issued < switchedAt) waiting.push(formatServiceName(service));
    }
    return [...new Set(waiting)].sort();
  }

  async #schedule(): Promise<void> {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    const due = (await this.#due()).map(({ at }) => at);
    if (due.length === 0 || this.#closed) return;
    const wait = Math.min(Math.max(Math.min(...due) - this.#parts.clock(), 0), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => void this.tick(), wait);
    this.#timer.unref();
  }

  async #due(): Promise<readonly { readonly rotation: CaRotation; readonly at: number; readonly to: CaPhase }[]> {
    return [...(await this.#parts.records.read(caRotations)).values()].flatMap((rotation) => {
      const to = nextPhase(rotation.phase);
      return rotation.graceMs === null || to === undefined ? [] : [{ rotation, at: nextAt(rotation.changedAt, rotation.graceMs), to }];
    });
  }

  /** Performs the steps that are due; called by the timer. */
  async tick(): Promise<void> {
    const { clock, log, alone } = this.#parts;
    let failed = false;
    try {
      const outcome = await alone(LEASE, async (lease) => {
        for (const { rotation, at, to } of await this.#due()) {
          if (at > clock()) continue;
          await this.#inOrder(() => this.#move(rotation.name, to, itself, { force: false, graceMs: rotation.graceMs, lease })).catch(
            (error: unknown) => {
              failed = true;
              log.warn({ err: error, ca: rotation.name, phase: to }, 'a rotation cannot continue yet');
            },
          );
        }
      });
      // The other authority may die before it is done: check again.
      if (outcome.kind === 'held elsewhere') failed = true;
    } catch (error) {
      failed = true;
      log.warn({ err: error }, 'failed to read rotations');
    }
    if (this.#closed) return;
    if (!failed) return this.#schedule().catch(() => undefined);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.tick(), RETRY_MS);
    this.#timer.unref();
  }
}

/** Whether services have to renew because of this step. */
function signersChange(name: CaName, from: CaPhase, to: CaPhase): boolean {
  if (to === 'standby') return false;
  const holder: Holder = name === 'x509-service' ? 'client' : holderOf[name];
  return newKeySigns(from, holder) !== newKeySigns(to, holder);
}

/** Key id by which a service's certificates are found; users' certificates simply expire. */
function keyIdOf(name: CaName): ((service: ServiceName) => string) | undefined {
  switch (name) {
    case 'ssh-host':
      return hostKeyId;
    case 'recording':
      return ({ name: gateway }) => `recording ${gateway}`;
    case 'x509-service':
      return formatServiceName;
    default:
      return undefined;
  }
}

function signedFor({ name, state }: CaKey, phase: CaPhase): readonly ('clients' | 'servers')[] {
  const holders: readonly Holder[] = name === 'x509-service' ? ['client', 'server'] : [holderOf[name]];
  return holders
    .filter((holder) => state !== 'retired' && newKeySigns(phase, holder) === (state === 'next'))
    .map((holder) => `${holder}s` as const);
}

function describe(key: CaKey): Omit<CaReport['keys'][number], 'signs'> {
  const facts = { generation: key.generation, state: key.state, signer: key.signer, created_at: key.createdAt, retired_at: key.retiredAt };
  if (key.public.startsWith('-----BEGIN')) {
    const spki = new X509Certificate(key.public).publicKey.export({ type: 'spki', format: 'der' });
    return { ...facts, algorithm: 'ecdsa-p256', fingerprint: fingerprint(spki) };
  }
  const { blob } = parseAuthorizedLine(key.public);
  return { ...facts, algorithm: parsePublicKey(blob).type, fingerprint: fingerprint(blob) };
}
