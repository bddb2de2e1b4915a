/**
 * One SSH connection to the gateway, from its first byte to its end.
 *
 *     stranger ──admitted──► jump (ssh -J: leads to further connections)
 *        │           └─────► to a node: authorized, dialled ──► relay (../relay/relay.ts)
 *        │                        └──refused──► told why in its terminal (local-answers.ts)
 *        │           └─────► a participant of a live session (joined.ts), or of one at another gateway (elsewhere.ts)
 *        └──20 s, refused, malformed──► gone
 *
 * New snapshots reach an admitted connection through its access (../../sessions/access.ts).
 */
import { StenoError } from '#schemas/base/errors.js';
import type { Target, UserIdentity } from '#schemas/base/identity.js';
import type { SessionJoin } from '#schemas/session-join.js';
import type { EventsWay } from '#schemas/kernel/orders.js';
import { NO_FORWARDING, encodeForwarding } from '#schemas/policy/forwarding.js';
import type { Allowed } from '#schemas/policy/node.js';
import type { ClientConnection } from '#schemas/recording/line.js';
import { KERNEL_REQUESTS } from '#schemas/ssh/capabilities.js';
import { DISCONNECT } from '#schemas/ssh/numbers.js';
import { identityNow } from '#runtime/http/request-auth.js';
import type { ConnectionLog } from '../../edge/connection-log.js';
import type { Wire } from '../../edge/socket-wire.js';
import type { Recorder } from '../../recorder/recorder.js';
import type { Access } from '../../sessions/access.js';
import type { Authority } from '../../sessions/authority.js';
import { assertAdmitted, assertConfirmable, authorize, needsConfirmation } from '../../sessions/authorization.js';
import type { Authorized } from '../../sessions/authorization.js';
import { asStenoError, explainError, printable, terminalText } from '../../sessions/refusal.js';
import type { SessionSlots } from '../../sessions/slots.js';
import { connectionBudget } from '../../streams/observing/budget.js';
import { reachNode } from '../dial/reach-node.js';
import type { Reached, ReachDeps } from '../dial/reach-node.js';
import { Relay } from '../relay/relay.js';
import type { Observe } from '../relay/session-recording.js';
import type { RelayPermissions } from '../relay/sides.js';
import type { ShownHostKeys } from '../transport/host-keys.js';
import { HOLD, Transport } from '../transport/transport.js';
import { Admission, KnownKeys } from './admission.js';
import type { Admitted, Destination, Entry } from './admission.js';
import { MAX_QUEUED, joinElsewhere, joinSession, strangerAccess, unconfirmedJoin } from './join-session.js';
import type { AcceptedElsewhere, Elsewhere, Joined, JoinDeps } from './join-session.js';
import { Jump } from './jump.js';
import { offerReconnect } from './reconnect.js';
import type { Reconnecting } from './reconnect.js';
import { LocalAnswers } from './local-answers.js';

export interface ConnectionDeps extends ReachDeps, JoinDeps {
  readonly knownKeys: KnownKeys;
  readonly confirmSession: Authority['confirmSession'];
  readonly slots: SessionSlots;
  readonly recorder: Recorder;
  readonly observe: Observe;
  /** Finds sessions held by other gateways; null if there are no other gateways. */
  readonly elsewhere: Elsewhere | null;
  /** The address at which nodes send kernel events to this gateway. */
  readonly events: EventsWay | null;
  /** Unadmitted connections are closed after this many milliseconds. */
  readonly admissionMs: number;
  track(closing: Promise<void>): void;
  readonly connectionLog: ConnectionLog;
  /** Accepts a connection through a channel of this one. */
  enter(wire: Wire, node: string, origin: Origin): void;
}

/** The origin of a client; for a connection inside a jump, the origin of the outer connection. */
export interface Origin {
  readonly source: string;
  /** Null for a browser's connection, which a viewer relays and whose port is unknown. */
  readonly connection: ClientConnection | null;
}

/**
 * The part of an admission kept while its connection lasts. The proof is dropped, so that a gateway compromised later holds
 * no unused proofs.
 */
type Known = Omit<Admitted, 'blob' | 'proof' | 'confirmation'>;

type Stage =
  | { readonly kind: 'stranger'; readonly admission: Admission; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'jump'; readonly jump: Jump; readonly access: Access }
  | { readonly kind: 'dialling'; readonly access: Access; readonly abort: AbortController }
  | { readonly kind: 'joined'; readonly joined: Joined; readonly access: Access }
  | { readonly kind: 'elsewhere'; readonly access: Access }
  | { readonly kind: 'relaying'; readonly relay: Relay; readonly access: Access; readonly reconnecting: Reconnecting | null }
  | { readonly kind: 'refusing' }
  | { readonly kind: 'gone' };

export class Connection {
  readonly #wire: Wire;
  readonly #transport: Transport;
  readonly #deps: ConnectionDeps;
  readonly #source: string;
  readonly #origin: Origin;
  readonly #onAdmitted: () => void;
  readonly #onGone: () => void;
  #stage: Stage;
  readonly #began = performance.now();
  #who: { readonly user: string | null; readonly login?: string; readonly node?: string };
  /** The other gateway's answer, for a participant of a session held there. */
  #elsewhere: AcceptedElsewhere | StenoError | null = null;
  /** The reason for closing, if known before the connection has closed. */
  #why: string | undefined;

  constructor(
    wire: Wire,
    entry: Entry,
    origin: Origin,
    hostKeys: ShownHostKeys,
    deps: ConnectionDeps,
    events: { admitted(): void; gone(): void },
  ) {
    this.#wire = wire;
    this.#deps = deps;
    this.#who = { user: null, ...(entry.kind === 'node' ? { node: printable(entry.node, 128) } : {}) };
    const { source } = origin;
    this.#source = source;
    this.#origin = origin;
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
        refused: (code, detail, userName) => {
          this.#why = code;
          deps.recorder.audit({
            event: 'auth.refused',
            outcome: 'failure',
            code,
            reason: printable(detail, 256),
            actor: printable(userName, 128),
            source_address: source,
            node: entry.kind === 'node' ? entry.node : '',
            data: JSON.stringify({ client_version: this.#transport.software }),
          });
        },
      },
      (admitted) => this.#admit(admitted),
    );
    const timer = setTimeout(() => {
      this.#why ??= `not admitted within ${deps.admissionMs / 1000} s`;
      wire.destroy();
    }, deps.admissionMs);
    this.#stage = { kind: 'stranger', admission, timer };
  }

  /** Ends the connection with a message; unadmitted connections get none. */
  end(error: StenoError): void {
    this.#why = error.code;
    if (this.#stage.kind === 'relaying') return this.#stage.relay.end(error);
    if (this.#stage.kind === 'joined') return this.#stage.joined.end(error);
    if (this.#stage.kind === 'dialling') this.#stage.abort.abort();
    const disconnect = (): void => this.#transport.disconnect(DISCONNECT.byApplication, explainError(error).join(' '));
    if (this.#stage.kind === 'jump') this.#stage.jump.end(disconnect);
    else disconnect();
  }

  #admit(admitted: Admitted): void {
    if (this.#stage.kind !== 'stranger') return;
    clearTimeout(this.#stage.timer);
    this.#onAdmitted();
    const { destination } = admitted;
    this.#why = undefined;
    this.#who = {
      user: admitted.identity.user,
      ...(destination.kind === 'node' ? { login: destination.login, node: destination.node } : {}),
    };
    if (destination.kind === 'node') return void this.#reach(admitted, destination);
    if (destination.kind === 'join') return this.#join(knownOf(admitted), destination, admitted.blob.toString('base64'));
    const access = this.#access(knownOf(admitted), null, () => undefined);
    const jump = new Jump(this.#transport, {
      snapshot: () => this.#deps.snapshot(),
      expired: () => access.expired,
      enter: (wire, node) => this.#deps.enter(wire, node, this.#origin),
      draining: () => this.#deps.draining(),
    });
    this.#stage = { kind: 'jump', jump, access };
    this.#deps.registry.register(access, null);
    this.#leadTo(jump);
  }

  /** The user is identified but not admitted yet, and is asked for the second factor in the browser. */
  #confirm(admitted: Admitted, tell: (lines: readonly string[]) => void, signal: AbortSignal): Promise<string> | null {
    const { identity, blob, source, destination } = admitted;
    if (destination.kind === 'join' && this.#deps.elsewhere !== null && this.#deps.registry.find(destination.session) === undefined)
      return this.#askElsewhere(this.#deps.elsewhere, admitted, tell, signal);
    const target = this.#unconfirmed(identity, destination);
    if (target === null) return null;
    this.#mayTakeLonger();
    const { login, node } = target;
    return this.#deps.confirmSession(
      { login, node, user_certificate: blob.toString('base64'), source_address: source },
      (url) => tell(confirmLines(login, node, url)),
      signal,
    );
  }

  /** Frees the stranger slot of an identified user; the second factor has its own time limit. */
  #mayTakeLonger(): void {
    if (this.#stage.kind === 'stranger') clearTimeout(this.#stage.timer);
    this.#onAdmitted();
  }

  /**
   * Asks the gateway that holds the session, before admission, since it may demand a second factor. A refusal is shown in the user's
   * terminal.
   */
  async #askElsewhere(
    elsewhere: Elsewhere,
    admitted: Admitted,
    tell: (lines: readonly string[]) => void,
    signal: AbortSignal,
  ): Promise<string> {
    this.#mayTakeLonger();
    const show = (login: string, node: string, url: string): void => tell(confirmLines(printable(login, 64), printable(node, 255), url));
    this.#elsewhere = await joinElsewhere(elsewhere, admitted, show, signal).catch((error: unknown) => asStenoError(error));
    return '';
  }

  /** The login and node that require a second factor before admission, or null. */
  #unconfirmed(identity: UserIdentity, destination: Destination): Target | null {
    const snapshot = this.#deps.snapshot();
    if (snapshot === null || destination.kind === 'jump') return null;
    if (destination.kind === 'join') return unconfirmedJoin(this.#deps, identity, destination);
    return needsConfirmation(snapshot, identity, destination, this.#deps.now()) ? destination : null;
  }

  /** Joins the user to a live session as a participant. */
  #join(known: Known, destination: SessionJoin, certificate: string): void {
    const elsewhere = this.#elsewhere;
    this.#transport.limitQueue(MAX_QUEUED);
    try {
      if (elsewhere instanceof StenoError) throw elsewhere;
      if (elsewhere !== null) return this.#relayElsewhere(known, elsewhere);
      const { joined, access } = joinSession(
        this.#deps,
        this.#transport,
        known,
        destination,
        (error) => this.end(error),
        ({ login, node }, shown, signal) =>
          this.#deps.confirmSession({ login, node, user_certificate: certificate, source_address: this.#source }, shown, signal),
      );
      this.#stage = { kind: 'joined', joined, access };
      this.#leadTo(joined);
    } catch (error) {
      this.#explain(strangerAccess(this.#deps, known), asStenoError(error), 'session.join_refused', destination.session);
    }
  }

  /** Relays all messages to the gateway that holds the session, which decides. The relaying also ends with the user's access here. */
  #relayElsewhere(known: Known, accepted: AcceptedElsewhere): void {
    if (this.#deps.draining() || this.#transport.closed) {
      accepted.abandon();
      throw new StenoError('DRAINING');
    }
    const access = this.#access(known, null, () => undefined);
    const relayed = accepted.relay(this.#transport, (text) => {
      this.#why ??= `gateway ${accepted.gateway} ended it`;
      this.#transport.disconnect(DISCONNECT.byApplication, printable(text, 1024));
    });
    this.#stage = { kind: 'elsewhere', access };
    this.#deps.registry.register(access, null);
    this.#leadTo(relayed);
  }

  /** Hands all further messages of the client to `part`. */
  #leadTo(part: { message(payload: Buffer): void; drained(): void; closed(): void }): void {
    this.#transport.events = {
      secured: () => undefined,
      message: (payload) => part.message(payload),
      drained: () => part.drained(),
      closed: () => {
        part.closed();
        this.#gone();
      },
    };
  }

  /** The user's access, whose hooks act on this connection. `permit`: applies changed roles. */
  #access({ identity, certificate }: Known, node: Target | null, permit: (decision: Allowed) => void): Access {
    const target = node === null ? null : ({ kind: 'node', ...node } as const);
    return this.#deps.registry.admit(
      { identity, target, source: this.#source },
      {
        reauthorize: (snapshot, now) => {
          const latest = identityNow(identity, certificate, snapshot);
          if (target === null) {
            assertAdmitted(snapshot, latest, undefined, now);
            return null;
          }
          const { decision } = authorize(snapshot, latest, target, now);
          permit(decision);
          return decision.limits;
        },
        end: (error) => this.end(error),
      },
    );
  }

  /** Reaches the node; messages of the client wait meanwhile. */
  async #reach(admitted: Admitted, target: Target): Promise<void> {
    const abort = new AbortController();
    const known = knownOf(admitted);
    const way: { told: string | null } = { told: null };
    const access = this.#access(known, target, (decision) => {
      if (this.#stage.kind !== 'relaying') return;
      this.#stage.relay.permit(permissionsOf(known, decision, way.told));
      this.#stage.reconnecting?.permit(decision);
    });
    this.#stage = { kind: 'dialling', access, abort };
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
      if (this.#deps.draining()) throw new StenoError('DRAINING');
      const { node, remote, decision } = authorize(snapshot, admitted.identity, target, this.#deps.now());
      assertConfirmable(admitted.identity, decision);
      const slot = this.#deps.slots.take(admitted.identity.user, decision.limits.maxSessions);
      access.hold(slot);
      if (slot.granted !== undefined) await slot.granted;
      // If the user disconnected in the meantime, no certificate is needed.
      if (client.closed) return;
      // Only nodes of this cluster that run Steno's agent receive orders to record.
      const agent = node.kind === 'agent' && remote === undefined;
      if (decision.enhanced.mode === 'strict' && !agent)
        throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `${node.name} does not run an agent of this Steno`);
      const reached = await reachNode(this.#deps, {
        user: admitted,
        target,
        node,
        remote,
        hostAuthorities: snapshot.ssh_host_ca,
        signal: abort.signal,
      });
      if (client.closed) return reached.transport.end();
      way.told = reached.told;
      // The access may have been locked since the dial began: snapshots are not applied to a connection that is still
      // dialling.
      try {
        const latest = this.#deps.snapshot() ?? snapshot;
        const identity = identityNow(admitted.identity, admitted.certificate, latest);
        this.#relay(known, access, target, authorize(latest, identity, target, this.#deps.now()), { ...reached, agent });
      } catch (error) {
        reached.transport.end();
        throw error;
      }
    } catch (error) {
      this.#explain(access, asStenoError(error));
    }
    client.release(HOLD.dial);
  }

  #relay(
    admitted: Known,
    access: Access,
    target: Target,
    { decision, roles, node: { labels }, remote }: Authorized,
    { transport: node, told, agent, delayMs }: Reached & { readonly agent: boolean },
  ): void {
    const { identity } = admitted;
    const relay = new Relay(
      this.#transport,
      node,
      {
        recorder: this.#deps.recorder,
        observe: this.#deps.observe,
        budget: connectionBudget(),
        permissions: permissionsOf(admitted, decision, told),
        access,
        live: this.#deps.live,
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
          // Labels of nodes in another cluster have no effect here.
          ...(remote === undefined ? { labels } : {}),
        },
        ...(this.#origin.connection === null ? {} : { connection: this.#origin.connection }),
        banner: terminalText(node.banner),
        kernel: {
          enhanced: decision.enhanced,
          // Nodes of another cluster do not trust this gateway's service certificate.
          events: remote === undefined ? this.#deps.events : null,
          agent,
          requests: node.capabilities.has(KERNEL_REQUESTS),
          delayMs,
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
    const reconnecting = offerReconnect(
      {
        ...{ wire: this.#wire, client: this.#transport, certificate: admitted.certificate, access },
        audit: (entry) => this.#deps.recorder.audit(entry),
      },
      decision,
    );
    this.#stage = { kind: 'relaying', relay, access, reconnecting };
    this.#deps.registry.register(access, decision);
  }

  #explain(access: Access, error: StenoError, event = 'session.refused', session = ''): void {
    if (this.#stage.kind === 'gone') return;
    access.leave();
    this.#why = error.code;
    access.audit(event, error, session);
    this.#stage = { kind: 'refusing' };
    let ids = 0;
    const local = new LocalAnswers(this.#transport, explainError(error), () => ids++, false);
    this.#leadTo({ message: (payload) => local.message(payload), drained: () => undefined, closed: () => local.closed() });
  }

  #gone(): void {
    if (this.#stage.kind === 'gone') return;
    if (this.#stage.kind === 'stranger') clearTimeout(this.#stage.timer);
    if ('access' in this.#stage) this.#stage.access.leave();
    this.#deps.connectionLog.ended({
      step: this.#stage.kind,
      source: this.#source,
      client: this.#transport.software,
      ...this.#who,
      seconds: Math.round((performance.now() - this.#began) / 100) / 10,
      reason: this.#why ?? this.#transport.reason ?? 'the client disconnected',
    });
    this.#stage = { kind: 'gone' };
    this.#onGone();
  }
}

function confirmLines(login: string, node: string, url: string): readonly string[] {
  return [`steno: ${login} on ${node} needs your second factor. Within a minute, open`, `steno:   ${printable(url, 512)}`];
}

function knownOf({ identity, certificate, source, destination }: Admitted): Known {
  return { identity, certificate, source, destination };
}

/** The permissions of the roles, restricted by the certificate, which was issued under the roles of its time. */
function permissionsOf({ certificate }: Known, decision: Allowed, told: string | null): RelayPermissions {
  // Nobody can watch a forwarded connection.
  const { moderation } = decision;
  const alone = moderation.length === 0;
  const forwarding = alone && certificate.extensions.has('permit-port-forwarding') ? decision.forwarding : NO_FORWARDING;
  return {
    forwarding,
    // If roles have changed since, the node is still enforcing the old ones.
    nodeChecks: told === encodeForwarding(forwarding),
    moderation,
    agentForwarding: alone && decision.agentForwarding && certificate.extensions.has('permit-agent-forwarding'),
  };
}
