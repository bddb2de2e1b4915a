/**
 * One connection to the gateway, from its first byte to its end.
 *
 *     stranger ──admitted──► jump (ssh -J: leads to further guests)
 *        │           └─────► bound for a node: authorized, dialled ──► relay (relay.ts)
 *        │                        └──no──► told why in its terminal (local-answers.ts)
 *        └──20 s, refused, nonsense──► gone
 *
 * Everything that could change the verdict is asked again when a new snapshot arrives (`recheck`).
 */
import type { Snapshot } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import type { Target } from '#schemas/identity.js';
import type { Allowed } from '#schemas/policy/node.js';
import type { Role } from '#schemas/role.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { ParsedKey } from 'ssh2';
import { identityNow } from '#runtime/request-auth.js';
import type { Recorder } from '../recorder/recorder.js';
import { Admission, KnownKeys } from './admission.js';
import type { Admitted, Entry } from './admission.js';
import { assertAdmitted, assertConfirmable, assertSessionUnlocked, authorize, needsConfirmation } from './authorization.js';
import type { Authority } from './authority.js';
import { dial } from './dial.js';
import type { OpenTunnel } from './dial.js';
import { dialCluster } from './dial-cluster.js';
import { Jump } from './jump.js';
import type { KernelRecordingDeps } from './kernel-recording.js';
import { LocalAnswers } from './local-answers.js';
import { MSG } from './messages.js';
import { asStenoError, explainError, printable, terminalText } from './refusal.js';
import { Relay } from './relay.js';
import type { RelayPermissions } from './relay-sides.js';
import { LimitTimer, realTimers } from './session-limits.js';
import type { SessionCertificates } from './session-certificates.js';
import type { Place, SessionPlaces } from './session-places.js';
import type { Observe } from './session-recording.js';
import { HOLD, Transport } from './transport.js';
import type { Wire } from './wire.js';

export interface GuestDeps {
  snapshot(): Snapshot | null;
  /** ms since 1970. */
  readonly now: () => number;
  readonly knownKeys: KnownKeys;
  readonly certificates: SessionCertificates;
  readonly confirmSession: Authority['confirmSession'];
  /** Connections to nodes of every user. */
  readonly places: SessionPlaces;
  readonly recorder: Recorder;
  readonly observe: Observe;
  readonly openTunnel: OpenTunnel;
  /** Strangers are gone after so many milliseconds. */
  readonly admissionMs: number;
  track(closing: Promise<void>): void;
  /** A connection through a channel of this guest. */
  enter(wire: Wire, node: string, source: string): void;
}

type Stage =
  | { readonly kind: 'stranger'; readonly admission: Admission; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'jump'; readonly jump: Jump; readonly admitted: Admitted }
  | { readonly kind: 'dialling'; readonly admitted: Admitted; readonly abort: AbortController }
  | { readonly kind: 'relaying'; readonly relay: Relay; readonly limits: LimitTimer; readonly admitted: Admitted; readonly target: Target }
  | { readonly kind: 'refusing' }
  | { readonly kind: 'gone' };

/** What a recheck put out. */
export interface Ended {
  readonly error: StenoError;
  readonly connections: number;
  readonly sessions: number;
  /** Writes that it ended: once everybody was told. */
  readonly audit: () => void;
}

export class Guest {
  readonly #transport: Transport;
  readonly #deps: GuestDeps;
  readonly #source: string;
  readonly #onAdmitted: () => void;
  readonly #onGone: () => void;
  /** Of those whose connection goes on. */
  readonly #endedSessions = new Set<string>();
  /** The place among the connections of the user, when it is taken. */
  #place: Place | undefined;
  #stage: Stage;

  constructor(
    wire: Wire,
    entry: Entry,
    source: string,
    hostKeys: Readonly<Record<string, ParsedKey>>,
    deps: GuestDeps,
    events: { admitted(): void; gone(): void },
  ) {
    this.#deps = deps;
    this.#source = source;
    this.#onAdmitted = events.admitted;
    this.#onGone = events.gone;
    this.#transport = new Transport(
      wire,
      { kind: 'server', hostKeys },
      {
        secured: () => undefined,
        message: (payload) => {
          if (this.#stage.kind === 'stranger') this.#stage.admission.message(payload);
        },
        drained: () => undefined,
        closed: () => {
          if (this.#stage.kind === 'stranger') this.#stage.admission.closed();
          this.#gone();
        },
      },
    );
    const admission = new Admission(
      this.#transport,
      entry,
      source,
      {
        snapshot: () => deps.snapshot(),
        now: deps.now,
        knownKeys: deps.knownKeys,
        confirm: (admitted, tell, signal) => this.#confirm(admitted, tell, signal),
        refused: (code, detail, userName) =>
          deps.recorder.audit({
            event: 'auth.refused',
            outcome: 'failure',
            code,
            reason: printable(detail, 256),
            actor: printable(userName, 128),
            source_address: source,
            node: entry.kind === 'node' ? entry.node : '',
            data: JSON.stringify({ client_version: this.#transport.software }),
          }),
      },
      (admitted) => this.#admit(admitted),
    );
    const timer = setTimeout(() => wire.destroy(), deps.admissionMs);
    this.#stage = { kind: 'stranger', admission, timer };
  }

  /** Ends the connection with words; strangers without. */
  end(error: StenoError): void {
    if (this.#stage.kind === 'relaying') return this.#stage.relay.end(error);
    if (this.#stage.kind === 'dialling') this.#stage.abort.abort();
    const disconnect = (): void => this.#transport.disconnect(MSG.disconnectByApplication, explainError(error).join(' '));
    if (this.#stage.kind === 'jump') this.#stage.jump.end(disconnect);
    else disconnect();
  }

  /** Ends what a new snapshot no longer allows, at once, and says what that was. A guest on the way to a node is asked on arrival. */
  recheck(snapshot: Snapshot): readonly Ended[] {
    const stage = this.#stage;
    if (stage.kind !== 'jump' && stage.kind !== 'relaying') return [];
    const now = this.#deps.now();
    try {
      const identity = identityNow(stage.admitted.identity, stage.admitted.certificate, snapshot);
      if (stage.kind === 'relaying') this.#applyDecision(stage, authorize(snapshot, identity, stage.target, now).decision);
      else assertAdmitted(snapshot, identity, undefined, now);
    } catch (error) {
      const known = asStenoError(error);
      const sessions = stage.kind === 'relaying' ? stage.relay.sessions : [];
      const target = stage.kind === 'relaying' ? stage.target : undefined;
      this.end(known);
      return [
        {
          error: known,
          connections: 1,
          sessions: sessions.length,
          audit: () => this.#audit('session.ended', known, stage.admitted, target),
        },
      ];
    }
    if (stage.kind !== 'relaying' || snapshot.locks.every(({ target_kind }) => target_kind !== 'session')) return [];
    return stage.relay.sessions.flatMap((session) => {
      if (this.#endedSessions.has(session)) return [];
      try {
        assertSessionUnlocked(snapshot, session, now);
        return [];
      } catch (error) {
        const known = asStenoError(error);
        this.#endedSessions.add(session);
        stage.relay.endSession(session, known);
        return [
          {
            error: known,
            connections: 0,
            sessions: 1,
            audit: () => this.#audit('session.ended', known, stage.admitted, stage.target, session),
          },
        ];
      }
    });
  }

  #expired({ identity }: Admitted): boolean {
    return this.#deps.now() >= identity.validBefore * 1000;
  }

  #admit(admitted: Admitted): void {
    if (this.#stage.kind !== 'stranger') return;
    clearTimeout(this.#stage.timer);
    this.#onAdmitted();
    const { destination } = admitted;
    if (destination.kind === 'node') return void this.#reach(admitted, destination);
    const jump = new Jump(this.#transport, {
      snapshot: () => this.#deps.snapshot(),
      expired: () => this.#expired(admitted),
      enter: (wire, node) => this.#deps.enter(wire, node, this.#source),
    });
    this.#stage = { kind: 'jump', jump, admitted };
    this.#transport.events = {
      secured: () => undefined,
      message: (payload) => jump.message(payload),
      drained: () => jump.drained(),
      closed: () => {
        jump.closed();
        this.#gone();
      },
    };
  }

  /** No stranger any more, though the door is not open yet: it has the time that the user needs at the browser. */
  #confirm(
    { identity, blob, source, destination }: Admitted,
    tell: (lines: readonly string[]) => void,
    signal: AbortSignal,
  ): Promise<string> | null {
    const snapshot = this.#deps.snapshot();
    if (destination.kind !== 'node' || snapshot === null || !needsConfirmation(snapshot, identity, destination, this.#deps.now()))
      return null;
    if (this.#stage.kind === 'stranger') clearTimeout(this.#stage.timer);
    this.#onAdmitted();
    const { login, node } = destination;
    return this.#deps.confirmSession(
      { login, node, user_certificate: blob.toString('base64'), source_address: source },
      (url) => tell([`steno: ${login} on ${node} needs your second factor. Within a minute, open`, `steno:   ${printable(url, 512)}`]),
      signal,
    );
  }

  /** What the client sends meanwhile waits. */
  async #reach(admitted: Admitted, target: Target): Promise<void> {
    const abort = new AbortController();
    this.#stage = { kind: 'dialling', admitted, abort };
    const client = this.#transport;
    client.hold(HOLD.dial);
    client.events = {
      secured: () => undefined,
      message: () => undefined,
      drained: () => undefined,
      closed: () => {
        abort.abort();
        this.#gone();
      },
    };
    try {
      const snapshot = this.#deps.snapshot();
      if (snapshot === null) throw new StenoError('AUTHORITY_UNREACHABLE');
      const { node, remote, decision } = authorize(snapshot, admitted.identity, target, this.#deps.now());
      assertConfirmable(admitted.identity, decision);
      this.#place = this.#deps.places.take(admitted.identity.user, decision.limits.maxSessions);
      if (this.#place.granted !== undefined) await this.#place.granted;
      // Who left meanwhile needs no certificate for the node.
      if (client.closed) return;
      // Orders to record reach nodes of this cluster that run Steno's agent, and no others.
      const agent = node.kind === 'agent' && remote === undefined;
      if (decision.enhanced.mode === 'strict' && !agent)
        throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `${node.name} does not run an agent of this Steno`);
      const dialledAt = performance.now();
      const request = {
        node,
        openTunnel: this.#deps.openTunnel,
        source: this.#source,
        login: target.login,
        key: this.#deps.certificates.key,
        certificate: this.#deps.certificates.of(admitted, target.login, target.node),
        hostAuthorities: snapshot.ssh_host_ca.map((line) => parseAuthorizedLine(line).blob),
        now: () => this.#deps.now() / 1000,
        signal: abort.signal,
      };
      const transport = await (remote === undefined ? dial(request) : dialCluster(request, remote));
      if (client.closed) return transport.end();
      // What was allowed when the dial began may be locked by now; the snapshots meanwhile passed this guest by.
      try {
        const delayMs = performance.now() - dialledAt;
        const latest = this.#deps.snapshot() ?? snapshot;
        const identity = identityNow(admitted.identity, admitted.certificate, latest);
        this.#relay(admitted, target, authorize(latest, identity, target, this.#deps.now()), transport, { agent, delayMs });
      } catch (error) {
        transport.end();
        throw error;
      }
    } catch (error) {
      this.#explain(admitted, target, asStenoError(error));
    }
    client.release(HOLD.dial);
  }

  #relay(
    admitted: Admitted,
    target: Target,
    { decision, roles }: { readonly decision: Allowed; readonly roles: readonly Role[] },
    node: Transport,
    way: Pick<KernelRecordingDeps, 'agent' | 'delayMs'>,
  ): void {
    const { identity } = admitted;
    const limits: LimitTimer = new LimitTimer(Number(admitted.certificate.validBefore) * 1000, realTimers(this.#deps.now), {
      warn: (line) => relay.notice(line),
      end: (error) => {
        this.#audit('session.ended', error, admitted, target);
        this.end(error);
      },
    });
    const relay: Relay = new Relay(
      this.#transport,
      node,
      {
        recorder: this.#deps.recorder,
        observe: this.#deps.observe,
        permissions: permissionsOf(admitted, decision),
        active: () => limits.active(),
        facts: {
          user: identity.user,
          roles: [...new Set(roles.map(({ name }) => name))],
          requests: identity.requests,
          node: target.node,
          login: target.login,
          source_address: this.#source,
          client_version: this.#transport.software,
          certificate_serial: identity.serial,
          certificate_key_id: identity.keyId,
          recording: decision.recording,
        },
        banner: terminalText(node.banner),
        expired: () => this.#expired(admitted),
        kernel: {
          enhanced: decision.enhanced,
          ...way,
          now: this.#deps.now,
          audit: (entry) =>
            this.#deps.recorder.audit({
              actor: identity.user,
              source_address: this.#source,
              node: target.node,
              login: target.login,
              ...entry,
            }),
        },
        track: (closing) => this.#deps.track(closing),
      },
      () => this.#gone(),
    );
    this.#stage = { kind: 'relaying', relay, limits, admitted, target };
    limits.set(decision.limits);
  }

  /** Roles that changed count for what lives already: its limits and forwardings. A recording goes on as it began. */
  #applyDecision({ relay, limits, admitted }: Extract<Stage, { readonly kind: 'relaying' }>, decision: Allowed): void {
    relay.permit(permissionsOf(admitted, decision));
    limits.set(decision.limits);
  }

  #explain(admitted: Admitted, target: Target, error: StenoError): void {
    if (this.#stage.kind === 'gone') return;
    this.#place?.leave();
    this.#audit('session.refused', error, admitted, target);
    this.#stage = { kind: 'refusing' };
    let ids = 0;
    const local = new LocalAnswers(this.#transport, explainError(error), () => ids++, false);
    this.#transport.events = {
      secured: () => undefined,
      message: (payload) => local.message(payload),
      drained: () => undefined,
      closed: () => {
        local.closed();
        this.#gone();
      },
    };
  }

  #audit(event: string, error: StenoError, { identity }: Admitted, target?: Target, session = ''): void {
    this.#deps.recorder.audit({
      event,
      session,
      outcome: 'failure',
      code: error.code,
      reason: printable(error.detail ?? '', 256),
      actor: identity.user,
      source_address: this.#source,
      ...(target === undefined ? {} : { node: target.node, login: target.login, target: target.node }),
      ...(identity.requests.length === 0 ? {} : { data: JSON.stringify({ requests: identity.requests }) }),
    });
  }

  #gone(): void {
    if (this.#stage.kind === 'gone') return;
    if (this.#stage.kind === 'stranger') clearTimeout(this.#stage.timer);
    if (this.#stage.kind === 'relaying') this.#stage.limits.stop();
    this.#place?.leave();
    this.#stage = { kind: 'gone' };
    this.#onGone();
  }
}

/** What roles allow, as far as the certificate does: it was issued by what roles said then. */
function permissionsOf({ certificate }: Admitted, decision: Allowed): RelayPermissions {
  return {
    portForwarding: decision.portForwarding && certificate.extensions.has('permit-port-forwarding'),
    agentForwarding: decision.agentForwarding && certificate.extensions.has('permit-agent-forwarding'),
  };
}
