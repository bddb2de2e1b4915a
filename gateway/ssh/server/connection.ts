/**
 * One SSH connection to the gateway, from its first byte to its end.
 *
 *     stranger ──admitted──► jump (ssh -J: leads to further connections)
 *        │           └─────► bound for a node: authorized, dialled ──► relay (../relay/relay.ts)
 *        │                        └──refused──► told why in its terminal (local-answers.ts)
 *        └──20 s, refused, malformed──► gone
 *
 * New snapshots reach an admitted connection through its access (../../sessions/access.ts).
 */
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Target } from '#schemas/base/identity.js';
import type { EventsWay } from '#schemas/kernel/orders.js';
import { NO_FORWARDING, encodeForwarding } from '#schemas/policy/forwarding.js';
import type { Allowed } from '#schemas/policy/node.js';
import type { ClientConnection } from '#schemas/recording/line.js';
import { KERNEL_REQUESTS } from '#schemas/ssh/capabilities.js';
import { identityNow } from '#runtime/http/request-auth.js';
import type { ConnectionLog } from '../../edge/connection-log.js';
import type { Wire } from '../../edge/socket-wire.js';
import type { Recorder } from '../../recorder/recorder.js';
import type { Access } from '../../sessions/access.js';
import type { Authority } from '../../sessions/authority.js';
import { assertAdmitted, assertConfirmable, authorize, needsConfirmation } from '../../sessions/authorization.js';
import type { Authorized } from '../../sessions/authorization.js';
import { asStenoError, explainError, printable, terminalText } from '../../sessions/refusal.js';
import type { SessionRegistry } from '../../sessions/registry.js';
import type { SessionSlots } from '../../sessions/slots.js';
import { connectionBudget } from '../../streams/observing/budget.js';
import { reachNode } from '../dial/reach-node.js';
import type { Reached, ReachDeps } from '../dial/reach-node.js';
import { Relay } from '../relay/relay.js';
import type { Observe } from '../relay/session-recording.js';
import type { RelayPermissions } from '../relay/sides.js';
import type { ShownHostKeys } from '../transport/host-keys.js';
import { MSG } from '../transport/messages.js';
import { HOLD, Transport } from '../transport/transport.js';
import { Admission, KnownKeys } from './admission.js';
import type { Admitted, Entry } from './admission.js';
import { Jump } from './jump.js';
import { LocalAnswers } from './local-answers.js';

export interface ConnectionDeps extends ReachDeps {
  snapshot(): Snapshot | null;
  readonly knownKeys: KnownKeys;
  readonly registry: SessionRegistry;
  readonly confirmSession: Authority['confirmSession'];
  readonly slots: SessionSlots;
  /** Nothing begins any more. */
  draining(): boolean;
  readonly recorder: Recorder;
  readonly observe: Observe;
  /** Where nodes bring kernel events to this gateway. */
  readonly events: EventsWay | null;
  /** Strangers are gone after so many milliseconds. */
  readonly admissionMs: number;
  track(closing: Promise<void>): void;
  readonly connectionLog: ConnectionLog;
  /** Takes a connection through a channel of this one. */
  enter(wire: Wire, node: string, origin: Origin): void;
}

/** Where a client comes from; inside a jump, where the connection comes from that is jumped through. */
export interface Origin {
  readonly source: string;
  readonly connection: ClientConnection;
}

/** The part of an admission kept while its connection lasts. The proof is not kept: a gateway taken over later holds none unused. */
type Known = Omit<Admitted, 'blob' | 'proof' | 'confirmation'>;

type Stage =
  | { readonly kind: 'stranger'; readonly admission: Admission; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'jump'; readonly jump: Jump; readonly access: Access }
  | { readonly kind: 'dialling'; readonly access: Access; readonly abort: AbortController }
  | { readonly kind: 'relaying'; readonly relay: Relay; readonly access: Access }
  | { readonly kind: 'refusing' }
  | { readonly kind: 'gone' };

export class Connection {
  readonly #transport: Transport;
  readonly #deps: ConnectionDeps;
  readonly #source: string;
  readonly #origin: Origin;
  readonly #onAdmitted: () => void;
  readonly #onGone: () => void;
  #stage: Stage;
  readonly #began = performance.now();
  #who: { readonly user: string | null; readonly login?: string; readonly node?: string };
  /** Why it ends, where that is known before it has ended. */
  #why: string | undefined;

  constructor(
    wire: Wire,
    entry: Entry,
    origin: Origin,
    hostKeys: ShownHostKeys,
    deps: ConnectionDeps,
    events: { admitted(): void; gone(): void },
  ) {
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

  /** Ends the connection with words; strangers without. */
  end(error: StenoError): void {
    this.#why = error.code;
    if (this.#stage.kind === 'relaying') return this.#stage.relay.end(error);
    if (this.#stage.kind === 'dialling') this.#stage.abort.abort();
    const disconnect = (): void => this.#transport.disconnect(MSG.disconnectByApplication, explainError(error).join(' '));
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
    const access = this.#access(knownOf(admitted), null, () => undefined);
    const jump = new Jump(this.#transport, {
      snapshot: () => this.#deps.snapshot(),
      expired: () => access.expired,
      enter: (wire, node) => this.#deps.enter(wire, node, this.#origin),
      draining: () => this.#deps.draining(),
    });
    this.#stage = { kind: 'jump', jump, access };
    this.#deps.registry.register(access, null);
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

  /** The user is known but not admitted yet: the connection lasts as long as the second factor needs at the browser. */
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

  /** Messages of the client wait meanwhile. */
  async #reach(admitted: Admitted, target: Target): Promise<void> {
    const abort = new AbortController();
    const known = knownOf(admitted);
    const way: { told: string | null } = { told: null };
    const access = this.#access(known, target, (decision) => {
      if (this.#stage.kind === 'relaying') this.#stage.relay.permit(permissionsOf(known, decision, way.told));
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
      // A user who left meanwhile needs no certificate for the node.
      if (client.closed) return;
      // Orders to record reach nodes of this cluster that run Steno's agent, and no others.
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
      // Access allowed when the dial began may be locked by now: no snapshot was applied to this connection meanwhile.
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
          // What another cluster says of its nodes decides nothing here.
          ...(remote === undefined ? { labels } : {}),
        },
        connection: this.#origin.connection,
        banner: terminalText(node.banner),
        kernel: {
          enhanced: decision.enhanced,
          // Nodes of another cluster trust other services than this gateway is one of.
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
    this.#stage = { kind: 'relaying', relay, access };
    this.#deps.registry.register(access, decision);
  }

  #explain(access: Access, error: StenoError): void {
    if (this.#stage.kind === 'gone') return;
    access.leave();
    this.#why = error.code;
    access.audit('session.refused', error);
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
      reason: this.#why ?? this.#transport.reason ?? 'the client closed it',
    });
    this.#stage = { kind: 'gone' };
    this.#onGone();
  }
}

function knownOf({ identity, certificate, source, destination }: Admitted): Known {
  return { identity, certificate, source, destination };
}

/** What roles allow, as far as the certificate does: it was issued by what roles said then. */
function permissionsOf({ certificate }: Known, decision: Allowed, told: string | null): RelayPermissions {
  const forwarding = certificate.extensions.has('permit-port-forwarding') ? decision.forwarding : NO_FORWARDING;
  return {
    forwarding,
    // Roles that changed since are not those that the node asks.
    nodeChecks: told === encodeForwarding(forwarding),
    agentForwarding: decision.agentForwarding && certificate.extensions.has('permit-agent-forwarding'),
  };
}
